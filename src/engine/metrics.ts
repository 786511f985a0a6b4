/** Counters of one runtime since its start: what happened to the jobs of each task, and to the threads of each pool. */
import type { Attempt } from '../brokers/port/attempt.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { TaskEntry } from '../rules/registry.ts'
import { isStranger } from '../rules/stranger.ts'
import type { Clock } from '../words/clock.ts'
import { memberOf } from '../words/describe.ts'
import type { AttemptOutcome } from '../words/job.ts'
import { addDuration, HISTOGRAM_WIDTH, type Histogram, histogramAt } from './durations.ts'

const OUTCOMES = ['completed', 'failed', 'crashed', 'cancelled', 'interrupted'] as const
const ENDS = ['completed', 'cancelled', 'skipped', 'dead', 'lost'] as const

/** How a job ended, as metrics count it: `lost` are those whose broker went down with them. */
export type MetricEnd = (typeof ENDS)[number]

/** What was counted for one task: plain data. Durations are in milliseconds. */
export interface TaskMetrics {
  /** The pool that runs it. */
  readonly pool: string
  /** Jobs that were accepted here. */
  readonly enqueued: number
  /** Bytes of their encoded payloads; text counts a byte for each UTF-16 unit. */
  readonly payloadBytes: number
  /** Jobs that ended in each way. */
  readonly ended: Readonly<Record<MetricEnd, number>>
  /** Attempts that were made here, by how they went. */
  readonly attempts: Readonly<Record<AttemptOutcome, number>>
  /** From when a job could run until its attempt started. */
  readonly wait: Histogram
  /** How long attempts ran. Those that took their thread with them are not in it. */
  readonly run: Histogram
  /** From acceptance to the end of the job. */
  readonly total: Histogram
  /** Milliseconds of CPU time, where the broker has it measured: see `JobInfo.history`. */
  readonly cpu: number
}

/** What was counted for one pool: plain data. */
export interface PoolMetrics {
  /** Threads that are up or starting, the most there can be, and how many have a job. */
  readonly threads: number
  readonly max: number
  readonly busy: number
  /** Threads that have started. */
  readonly started: number
  /** Threads that ended because they were told to, and those that died by themselves. */
  readonly retired: number
  readonly died: number
}

/** Threads of a pool, counted. */
export type ThreadCounts = Pick<PoolMetrics, 'started' | 'retired' | 'died'>

// The numbers of a task lie side by side, in this order: counting touches one array.
const ADDED = 0
const BYTES = 1
const CPU = 2
const END = 3
const OUTCOME = END + ENDS.length
const WAIT = OUTCOME + OUTCOMES.length
const RUN = WAIT + HISTOGRAM_WIDTH
const TOTAL = RUN + HISTOGRAM_WIDTH
const WIDTH = TOTAL + HISTOGRAM_WIDTH

/** Counts. Its methods run for every job, so none of them makes an object. */
export class Metrics {
  /** When counting began, in milliseconds since 1970. */
  readonly since: number
  readonly #entries: readonly TaskEntry[]
  readonly #numbers: Float64Array
  readonly #threads = new Map<string, { started: number; retired: number; died: number }>()
  readonly #refused = new Map<string, number>()

  constructor(entries: readonly TaskEntry[], clock: Clock) {
    this.since = clock.wall()
    this.#entries = entries
    // The last are those of tasks that this process does not have: their jobs end as well.
    this.#numbers = new Float64Array((entries.length + 1) * WIDTH)
  }

  /** A job was accepted. */
  added(job: JobRecord): void {
    const numbers = this.#numbers
    const at = job.entry.index * WIDTH
    ;(numbers[at + ADDED] as number)++
    ;(numbers[at + BYTES] as number) += job.bytes
  }

  /** An attempt is over. */
  attempted(
    job: JobRecord,
    { outcome, started, ended }: Pick<Attempt, 'outcome' | 'started' | 'ended'>,
  ): void {
    const numbers = this.#numbers
    const at = job.entry.index * WIDTH
    ;(numbers[at + OUTCOME + OUTCOMES.indexOf(outcome)] as number)++
    if (started !== undefined) {
      addDuration(numbers, at + WAIT, started - job.readyAt)
      addDuration(numbers, at + RUN, ended - started)
    }
    const { extras } = job
    if (extras !== null && extras.cpu !== undefined) (numbers[at + CPU] as number) += extras.cpu
  }

  /** A job is over. */
  ended(job: JobRecord, end: MetricEnd): void {
    const numbers = this.#numbers
    const at = isStranger(job.entry) ? numbers.length - WIDTH : job.entry.index * WIDTH
    ;(numbers[at + END + ENDS.indexOf(end)] as number)++
    addDuration(numbers, at + TOTAL, job.readyAt - job.acceptedAt)
  }

  /** A call was refused with this error. */
  refused(error: unknown): void {
    const code = memberOf(error, 'code')
    const key = typeof code === 'string' ? code : 'unknown'
    this.#refused.set(key, (this.#refused.get(key) ?? 0) + 1)
  }

  threadStarted(pool: string): void {
    this.#pool(pool).started++
  }

  /** A thread is gone; `expected` when it was told to end. */
  threadExited(pool: string, expected: boolean): void {
    if (expected) this.#pool(pool).retired++
    else this.#pool(pool).died++
  }

  /** Jobs by how they ended: of all tasks, also of those that this process does not have. */
  get ends(): Record<MetricEnd, number> {
    const ends = { completed: 0, cancelled: 0, skipped: 0, dead: 0, lost: 0 }
    for (let at = END; at < this.#numbers.length; at += WIDTH)
      for (const [place, end] of ENDS.entries()) ends[end] += this.#numbers[at + place] as number
    return ends
  }

  /** What was counted of every task, by its name. */
  get tasks(): Record<string, TaskMetrics> {
    return Object.fromEntries(this.#entries.map((entry) => [entry.task.name, this.#ofTask(entry)]))
  }

  /** Calls that were refused, by the code of their error. */
  get refusals(): Record<string, number> {
    return Object.fromEntries(this.#refused)
  }

  /** What was counted of the threads of a pool. */
  threadsOf(pool: string): ThreadCounts {
    return this.#pool(pool)
  }

  #ofTask({ index, task }: TaskEntry): TaskMetrics {
    const numbers = this.#numbers
    const at = index * WIDTH
    const read = (place: number): number => numbers[at + place] as number
    const ends = ENDS.map((end, place) => [end, read(END + place)])
    const outcomes = OUTCOMES.map((outcome, place) => [outcome, read(OUTCOME + place)])
    return {
      pool: task.policy.pool,
      enqueued: read(ADDED),
      payloadBytes: read(BYTES),
      ended: Object.fromEntries(ends) as TaskMetrics['ended'],
      attempts: Object.fromEntries(outcomes) as TaskMetrics['attempts'],
      wait: histogramAt(numbers, at + WAIT),
      run: histogramAt(numbers, at + RUN),
      total: histogramAt(numbers, at + TOTAL),
      cpu: read(CPU),
    }
  }

  #pool(name: string): { started: number; retired: number; died: number } {
    const known = this.#threads.get(name)
    if (known !== undefined) return known
    const counts = { started: 0, retired: 0, died: 0 }
    this.#threads.set(name, counts)
    return counts
  }
}
