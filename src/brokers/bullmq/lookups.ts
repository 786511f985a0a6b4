/** Questions about jobs, answered from the store: by id, by filter, by numbers. */
import type { Job, JobJson, JobType } from 'bullmq'
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import type { Clock } from '../../words/clock.ts'
import {
  isTerminal,
  type JobState,
  TERMINAL_STATES,
  type TerminalState,
  UNFINISHED_STATES,
} from '../../words/job.ts'
import type { JobFilter } from '../broker.ts'
import type { EndedJobs } from './ended-jobs.ts'
import type { QueueOfTasks } from './queues.ts'
import type { Store } from './store.ts'
import { completeData, dataOf, type StoredData, stateOf, takeEnd, toRecord } from './stored-job.ts'

/** What lookups ask of the broker. */
export interface LookupHost {
  readonly clock: Clock
  entryOf(name: string): TaskEntry | undefined
  /** A number for a record that is not from here. */
  foreignSeq(): number
}

/** A job as the store has it. */
export interface Found {
  readonly id: string
  readonly queue: string
  readonly json: JobJson
  readonly data: StoredData
  readonly state: JobState
}

const EVERY_STATE: readonly JobState[] = [...UNFINISHED_STATES, ...TERMINAL_STATES]
const TYPES: Readonly<Partial<Record<JobState, readonly JobType[]>>> = {
  held: ['delayed'],
  waiting: ['delayed'],
  scheduled: ['delayed'],
  retryable: ['delayed'],
  available: ['wait', 'prioritized'],
  running: ['active'],
  completed: ['completed'],
  dead: ['failed'],
}
// BullMQ has one set for all that is delayed; why a job is there is looked up for so many of them.
const MOST_DELAYED = 1000
const PAGE = 200
const MOST_PAGES = 50

/** Answers from the store. */
export class Lookups {
  readonly #store: Store
  readonly #queues: readonly QueueOfTasks[]
  readonly #ended: EndedJobs
  readonly #host: LookupHost

  constructor(store: Store, queues: readonly QueueOfTasks[], ended: EndedJobs, host: LookupHost) {
    this.#store = store
    this.#queues = queues
    this.#ended = ended
    this.#host = host
  }

  /** A job by its id; `queue` when it is known where it is. */
  async find(id: string, queue?: string): Promise<Found | undefined> {
    const names = queue === undefined ? this.#queues.map(({ name }) => name) : [queue]
    const answers = await Promise.all(names.map((name) => this.#findIn(name, id)))
    const found = answers.find((answer) => answer !== undefined)
    if (found !== undefined) return found
    // After the queues: whoever ends a job there keeps its end first, and removes it then.
    const ended = await this.#ended.get(id)
    return ended && this.#fromEnded(ended)
  }

  async #findIn(queue: string, id: string): Promise<Found | undefined> {
    const { backend } = this.#store.queue(queue)
    const json = await backend.getJobData(id)
    if (json === undefined) return undefined
    const bull = await backend.getState(id)
    // It may have gone between the two questions.
    if (bull === 'unknown') return undefined
    const data = dataOf(json)
    // An end comes after what was read before it.
    const isOver = bull === 'completed' || bull === 'failed'
    const last = isOver ? ((await backend.getJobData(id)) ?? json) : json
    return { id, queue, json: last, data, state: stateOf(last, data, bull, this.#host.clock.wall()) }
  }

  /** A new record of a job that was found; undefined when its task is not known here. */
  record({ id, json, data, state }: Found): JobRecord | undefined {
    const entry = this.#host.entryOf(json.name)
    if (entry === undefined) return undefined
    const { clock } = this.#host
    const job = toRecord(json, data, { seq: this.#host.foreignSeq(), id, entry, clock })
    takeEnd(job, json, data, state, clock)
    return job
  }

  async list(filter: JobFilter): Promise<Found[]> {
    const limit = filter.limit ?? 100
    const states = new Set(filter.state === undefined ? EVERY_STATE : [filter.state].flat())
    const types = [...new Set([...states].flatMap((state) => TYPES[state] ?? []))]
    const lists = await Promise.all(
      this.#queues.flatMap(({ name }) =>
        types.map((type) => this.#listOf(name, type, states, filter.task, limit)),
      ),
    )
    const found = lists.flat()
    const ends = [...states].filter(
      (state): state is TerminalState => isTerminal(state) && state !== 'completed',
    )
    if (ends.length > 0) {
      const ended = await this.#ended.list(ends, limit)
      found.push(...ended.map((job) => this.#fromEnded(job)))
    }
    return found
      .filter(({ json }) => filter.task === undefined || json.name === filter.task)
      .sort((one, other) => other.data.a - one.data.a)
      .slice(0, limit)
  }

  async #listOf(
    queue: string,
    type: JobType,
    states: ReadonlySet<JobState>,
    task: string | undefined,
    limit: number,
  ): Promise<Found[]> {
    const found: Found[] = []
    for (let page = 0; page < MOST_PAGES && found.length < limit; page++) {
      const from = page * PAGE
      const jobs = await this.#store.queue(queue).getJobs([type], from, from + PAGE - 1, false)
      for (const job of jobs) {
        if (job?.id === undefined || (task !== undefined && job.name !== task)) continue
        const one = this.#fromJob(job, queue, type)
        if (states.has(one.state)) found.push(one)
      }
      if (jobs.length < PAGE) break
    }
    return found
  }

  async counts(): Promise<Record<JobState, number>> {
    const counts = Object.fromEntries(EVERY_STATE.map((state) => [state, 0])) as Record<JobState, number>
    const types: JobType[] = ['wait', 'prioritized', 'active', 'completed', 'failed', 'delayed']
    await Promise.all(
      this.#queues.map(async ({ name }) => {
        const of = await this.#store.queue(name).getJobCounts(...types)
        counts.available += (of['wait'] ?? 0) + (of['prioritized'] ?? 0)
        counts.running += of['active'] ?? 0
        counts.completed += of['completed'] ?? 0
        counts.dead += of['failed'] ?? 0
        if ((of['delayed'] ?? 0) > 0) await this.#countDelayed(name, of['delayed'] ?? 0, counts)
      }),
    )
    const ended = await this.#ended.counts()
    counts.cancelled += ended.cancelled
    counts.skipped += ended.skipped
    counts.dead += ended.dead
    return counts
  }

  async #countDelayed(queue: string, all: number, counts: Record<JobState, number>): Promise<void> {
    const jobs = await this.#store.queue(queue).getJobs(['delayed'], 0, MOST_DELAYED - 1)
    for (const job of jobs) if (job) counts[this.#fromJob(job, queue, 'delayed').state]++
    counts.scheduled += Math.max(0, all - jobs.length)
  }

  #fromJob(job: Job, queue: string, type: JobType): Found {
    const json = jsonOf(job)
    const data = completeData(job.data, job.timestamp)
    const bull = type === 'wait' || type === 'prioritized' ? 'waiting' : type
    return { id: job.id ?? '', queue, json, data, state: stateOf(json, data, bull, this.#host.clock.wall()) }
  }

  #fromEnded(job: Job<StoredData>): Found {
    const { data } = job
    const queue = data.end?.queue ?? ''
    return { id: job.id ?? '', queue, json: jsonOf(job), data, state: data.end?.state ?? 'cancelled' }
  }
}

// BullMQ's class for a job has read what we read ourselves.
function jsonOf(job: Job): JobJson {
  const { name, opts, progress, attemptsMade, attemptsStarted, finishedOn, timestamp, stalledCounter } = job
  return {
    id: job.id ?? '',
    name,
    data: '',
    opts,
    progress,
    attemptsMade,
    attemptsStarted,
    ...(finishedOn === undefined ? {} : { finishedOn }),
    timestamp,
    failedReason: job.failedReason,
    stacktrace: JSON.stringify(job.stacktrace ?? []),
    returnvalue: JSON.stringify(job.returnvalue ?? null),
    stalledCounter,
  }
}
