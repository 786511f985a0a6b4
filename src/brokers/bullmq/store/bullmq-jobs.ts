/** BullMQ's jobs, and ours: what is told to BullMQ, and how it is read back. */
import type { JobJson, JobsOptions } from 'bullmq'
import type { Encoded } from '../../../rules/codec.ts'
import { fromReadable, inJsonb, toReadable } from '../../../rules/readable.ts'
import type { JobState } from '../../../words/job.ts'
import { markOf, parsed, progressOf, type StoredProgress } from './progress-mark.ts'
import type { NewJob, StoredData, StoredJob, WrittenData } from './stored-job.ts'

// BullMQ's largest number is 2,097,151, and a smaller one goes first; ours go from -1,000,000 to 1,000,000.
const PRIORITY_ZERO = 1_000_001

// What stands between the two parts of `data`.
const SPLIT = '},"payload":'
// What is no result, and no progress.
const NONE = 'null'

/** Where PostgreSQL would sort the properties of a payload: its text. */
interface Exact {
  readonly exact?: string
}

/** BullMQ's number for one of our priorities. */
export function bullPriority(priority: number): number {
  return PRIORITY_ZERO - Math.round(priority)
}

/** A job as BullMQ takes it in. Its own class for that would go over every field three times. */
export function toJson(job: NewJob, wall: number, isJsonb: boolean): JobJson {
  const { id, name, priority, acceptedAt, delay, unique } = job
  const opts: JobsOptions & Carrier = { priority: bullPriority(priority) }
  const traceparent = job.data.context?.traceparent
  // Where BullMQ's own telemetry, such as bullmq-otel, carries the trace of a job.
  if (traceparent !== undefined) Object.assign(opts, carrierOf(JSON.stringify({ traceparent }), isJsonb))
  // BullMQ counts it from the timestamp, but the job may have waited to be written: in a buffer, while the store was away.
  if (delay > 0) opts.delay = delay + Math.max(0, wall - acceptedAt)
  const json = { id, name, data: toDataText(job.data, job.payload, isJsonb), opts, timestamp: acceptedAt }
  if (unique === undefined) return json as JobJson
  const { key, forMs } = unique
  opts.deduplication = { id: key, ...(forMs === undefined ? {} : { ttl: forMs }) }
  return { ...json, deduplicationId: key } as JobJson
}

/** Where BullMQ has the trace of a job: it shortens names in Redis alone. */
interface Carrier {
  tm?: string
  telemetry?: { metadata?: string }
}

function carrierOf(metadata: string, isJsonb: boolean): Carrier {
  return isJsonb ? { telemetry: { metadata } } : { tm: metadata }
}

/** The `data` of a job as BullMQ's tools show it: the payload, and what is ours beside it. */
export function toDataText(data: WrittenData, payload: Encoded, isJsonb: boolean): string {
  const kept = isJsonb && typeof payload === 'string' ? inJsonb(payload) : 'same'
  // Where PostgreSQL would sort the properties, the order is kept beside them.
  const own = JSON.stringify(kept === 'reordered' ? { ...data, exact: payload } : data)
  if (payload === undefined) return `{"aftertask":${own}}`
  return `{"aftertask":${own.slice(0, -1)}${SPLIT}${toReadable(payload, { isJsonb: kept === 'refused' })}}`
}

/** What is read of BullMQ's jobs, as its own `JobJson` has it. */
export interface RawJob {
  readonly name: string
  readonly data: string
  readonly timestamp: number
  readonly attemptsStarted?: number | undefined
  readonly stalledCounter?: number | undefined
  readonly stacktrace?: unknown
  readonly progress?: unknown
  readonly processedOn?: number | undefined
  readonly finishedOn?: number | undefined
  readonly returnvalue?: string | undefined
  readonly opts?: unknown
}

/** A job that BullMQ has; `bull`: where it lies, by BullMQ's word. */
export function toStored(queue: string, id: string, raw: RawJob, bull: string, wall: number): StoredJob {
  const { data: own, payload } = readData(raw.data, raw.timestamp)
  const data = own.context === undefined ? withTrace(own, raw.opts) : own
  const mark = markOf(raw.stacktrace)
  const left = progressOf(mark ?? data.past)
  return {
    ...{ id, queue, payload, data, left, mark },
    name: raw.name,
    state: stateOf(left, data, bull, wall),
    starts: Number(raw.attemptsStarted ?? 0),
    stalls: Number(raw.stalledCounter ?? 0),
    progress: progressIn(raw.progress),
    claimedAt: numberIn(raw.processedOn),
    endedAt: numberIn(raw.finishedOn),
    result: resultIn(raw.returnvalue),
  }
}

/** The trace of a job that another producer has added, whose telemetry carries it in the options of BullMQ. */
function withTrace(data: StoredData, opts: unknown): StoredData {
  const read = typeof opts === 'string' && /"tm"|"telemetry"/.test(opts) ? parsed(opts) : opts
  const { tm, telemetry } = (isObject(read) ? read : {}) as { tm?: unknown; telemetry?: unknown }
  const kept = tm ?? (isObject(telemetry) ? telemetry['metadata'] : undefined)
  const carrier = typeof kept === 'string' ? parsed(kept) : undefined
  const traceparent = isObject(carrier) ? carrier['traceparent'] : undefined
  return typeof traceparent === 'string' ? { ...data, context: { traceparent } } : data
}

/** Reads `data`. Of data that is not ours nothing is taken. */
function readData(text: string, timestamp: number): Pick<StoredJob, 'data' | 'payload'> {
  const split = text.startsWith('{"aftertask":') ? text.indexOf(SPLIT) : -1
  // As it was written: then the payload need not be read to be handed on.
  const plain = split < 0 ? '' : text.slice(split + SPLIT.length, -1)
  const isPlain = plain !== '' && !plain.startsWith('{"aftertask:')
  const all = parsed(isPlain ? `${text.slice(0, split)}}}` : text)
  const { aftertask: own, payload: kept } = isObject(all) ? all : {}
  const { exact, ...data } = { a: timestamp, priority: 0, ...(isObject(own) ? own : {}) } as StoredData &
    Exact
  if (isPlain) return { data, payload: plain }
  return { data, payload: exact ?? (kept === undefined ? undefined : fromReadable(kept)) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/** How a stored job stands, by BullMQ's word for it. */
function stateOf({ n, end }: StoredProgress, data: StoredData, bull: string, wall: number): JobState {
  switch (bull) {
    case 'completed':
      return 'completed'
    case 'failed':
      return end?.[0] ?? 'dead'
    case 'active':
      return 'running'
    case 'delayed':
      if (data.held === true) return 'held'
      if (n > (data.revived ?? 0)) return 'retryable'
      return (data.d ?? 0) > wall ? 'scheduled' : 'waiting'
    default:
      return 'available'
  }
}

/** A result as BullMQ's `returnvalue`. */
export function toReturnValue(result: Encoded, isJsonb: boolean): string {
  return result === undefined ? NONE : toReadable(result, { reserved: [NONE], isJsonb, keepsOrder: true })
}

function resultIn(text: string | undefined): Encoded {
  const result = text === undefined ? undefined : parsed(text)
  if (result === null || result === undefined) return undefined
  return fromReadable(result)
}

/** Progress as BullMQ keeps it, which takes 0 for none. */
export function toProgress(progress: Encoded, isJsonb: boolean): string {
  return toReadable(progress, { reserved: [NONE, '0', '"0"'], isJsonb })
}

function progressIn(kept: unknown): Encoded {
  return kept === undefined || kept === null || kept === 0 || kept === '0' ? undefined : fromReadable(kept)
}

function numberIn(value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value)
}
