/**
 * The broker port: where jobs wait, and the rules of when one may run. Every broker keeps the same rules, held by one
 * contract suite (`test/contract`):
 *
 * - a held job waits for `release`; a job waits for the one before it in its batch, then for its time, then for its
 *   place in its key's line; then it is available, best rank first;
 * - `claim` is synchronous, since it stands on the path of every job. A broker whose jobs are elsewhere fetches ahead,
 *   within a bounded window, and calls `host.wake` when something has come;
 * - a terminal state is told to the host exactly once, when it is as safe as the broker can make it.
 */
import type { Encoded } from '../rules/codec.ts'
import type { JobRecord, Moved } from '../rules/job-record.ts'
import type { WireError } from '../rules/wire-error.ts'
import type { Clock } from '../words/clock.ts'
import type { JobState, TerminalState } from '../words/job.ts'

/** What a broker asks of the engine. */
export interface BrokerHost {
  readonly clock: Clock
  /** Milliseconds of waiting that weigh as much as one step of priority. */
  readonly ageing: number
  /** How many finished jobs to keep, and for how many milliseconds. */
  readonly retention: { readonly count: number; readonly age: number }
  /** Jobs of this pool have become available. */
  wake(pool: string): void
  /** A job has reached its terminal state. */
  settled(job: JobRecord): void
}

/** How a job ended, as the engine tells it to the broker. */
export interface Ended {
  readonly state: TerminalState
  readonly result?: Encoded | Moved
  readonly error?: WireError | Error
  readonly reason?: string
}

/** Which jobs `list` returns: all conditions must hold. */
export interface JobFilter {
  /** One of these states. */
  state?: JobState | readonly JobState[]
  /** The task's name. */
  task?: string
  /** At most this many, newest first. Default 100. */
  limit?: number
}

/** Where jobs wait. */
export interface Broker {
  /** True when a job whose `stored` has resolved survives the process. */
  readonly durable: boolean
  /** Called once, before anything else. */
  open(host: BrokerHost): void | Promise<void>
  /** Takes jobs in. `after` is the unfinished job of the same batch that the first of them waits for. */
  add(job: JobRecord, after: JobRecord | null): void | Promise<void>
  /** The response of a held job is over, and it is to run. */
  release(job: JobRecord): void
  /** The next available job of a pool, left in place. */
  peek(pool: string): JobRecord | undefined
  /** Takes the job that `peek` shows; it is `running` from now on. */
  claim(pool: string): JobRecord | undefined
  /** A claimed job was not started, or was interrupted: it is available again, at its old rank. */
  giveBack(job: JobRecord): void
  /** A claimed job failed and is to be tried again at `dueAt` on the monotonic clock. */
  retry(job: JobRecord, dueAt: number): void
  /** A job is over. Its next in the batch and in its key's line move up. */
  finish(job: JobRecord, ended: Ended): void
  /** The job that holds a unique key, as far as this process knows. */
  duplicateOf(uniqueKey: string): JobRecord | undefined
  /** A job by its number in this runtime, finished ones included for as long as retention keeps them. */
  get(seq: number): JobRecord | undefined
  /** Jobs that fit a filter, newest first. */
  list(filter: JobFilter): readonly JobRecord[]
  /** A dead job is to start over, with a new count of attempts. */
  revive(job: JobRecord): void
  /** When the next scheduled or retryable job is due, on the monotonic clock; Infinity when there is none. */
  nextDue(): number
  /** How many jobs are in each state. */
  counts(): Record<JobState, number>
  /** Stops timers and lets go of what is held open. */
  close(): void | Promise<void>
}
