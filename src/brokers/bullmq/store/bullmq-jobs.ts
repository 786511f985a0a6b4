/** BullMQ's jobs, and ours: what is told to BullMQ, and how it is read back. */
import type { Job, JobJson, JobsOptions } from 'bullmq'
import type { JobState } from '../../../words/job.ts'
import { completeData, fromProgress } from './job-data.ts'
import { markOf, parsed, progressOf } from './progress-mark.ts'
import type { NewJob, StoredData, StoredJob, StoredResult } from './stored-job.ts'

// BullMQ's largest number is 2,097,151, and a smaller one goes first; ours go from -1,000,000 to 1,000,000.
const PRIORITY_ZERO = 1_000_001

/** BullMQ's number for one of our priorities. */
export function bullPriority(priority: number): number {
  return PRIORITY_ZERO - Math.round(priority)
}

/** A job as BullMQ takes it in. Its own class for that would go over every field three times. */
export function toJson(
  { id, name, data, priority, acceptedAt, delay, unique }: NewJob,
  wall: number,
): JobJson {
  const opts: JobsOptions = { priority: bullPriority(priority) }
  // BullMQ counts it from the timestamp, but the job may have waited to be written: in a buffer, while the store was away.
  if (delay > 0) opts.delay = delay + Math.max(0, wall - acceptedAt)
  const json = { id, name, data: JSON.stringify(data), opts, timestamp: acceptedAt }
  if (unique === undefined) return json as JobJson
  const { key, forMs } = unique
  opts.deduplication = { id: key, ...(forMs === undefined ? {} : { ttl: forMs }) }
  return { ...json, deduplicationId: key } as JobJson
}

/** What is read of BullMQ's jobs: as text, or as BullMQ has read it. */
export interface RawJob {
  readonly id?: string | undefined
  readonly name: string
  /** JSON, or what it says. */
  readonly data: unknown
  readonly timestamp: number
  readonly attemptsStarted?: number | undefined
  readonly stalledCounter?: number | undefined
  readonly stacktrace?: unknown
  readonly progress?: unknown
  readonly processedOn?: number | undefined
  readonly finishedOn?: number | undefined
  readonly returnvalue?: unknown
}

/** A job that BullMQ has; `state`: where it lies, by BullMQ's word, or the state itself. */
export function toStored(queue: string, id: string, raw: RawJob, bull: string, wall: number): StoredJob {
  const data = completeData(typeof raw.data === 'string' ? parsed(raw.data) : raw.data, raw.timestamp)
  const mark = markOf(raw.stacktrace)
  const left = progressOf(mark ?? data.end?.past ?? data.past)
  return {
    id,
    queue,
    data,
    left,
    mark,
    name: raw.name,
    state: data.end?.state ?? stateOf(left.n, data, bull, wall),
    starts: Number(raw.attemptsStarted ?? 0),
    stalls: Number(raw.stalledCounter ?? 0),
    progress: fromProgress(raw.progress),
    claimedAt: numberIn(raw.processedOn),
    endedAt: numberIn(raw.finishedOn),
    result: resultIn(raw.returnvalue),
  }
}

/** The same of a job that BullMQ's own class has read. */
export function fromJob(queue: string, job: Job, bull: string, wall: number): StoredJob {
  return toStored(queue, job.id ?? '', job, bull, wall)
}

/** How a stored job stands, by BullMQ's word for it. */
function stateOf(attempts: number, data: StoredData, bull: string, wall: number): JobState {
  switch (bull) {
    case 'completed':
      return 'completed'
    case 'failed':
      return 'dead'
    case 'active':
      return 'running'
    case 'delayed':
      if (data.held === true) return 'held'
      if (attempts > (data.revived ?? 0)) return 'retryable'
      return (data.d ?? 0) > wall ? 'scheduled' : 'waiting'
    default:
      return 'available'
  }
}

function resultIn(value: unknown): StoredResult | null {
  const result = typeof value === 'string' ? parsed(value) : value
  return typeof result === 'object' ? (result as StoredResult | null) : null
}

function numberIn(value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value)
}
