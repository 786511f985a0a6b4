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
import type { Encoded } from '../../rules/codec.ts'
import type { JobRecord } from '../../rules/job-record.ts'
import type { Moved } from '../../rules/moved.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import type { WireError } from '../../rules/wire-error.ts'
import type { Clock } from '../../words/clock.ts'
import type { AttemptInfo, AttemptOutcome, JobState, TerminalState } from '../../words/job.ts'

/** What a broker asks of the engine. */
export interface BrokerHost {
  readonly clock: Clock
  /** Milliseconds of waiting that weigh as much as one step of priority. */
  readonly ageing: number
  /** How many finished jobs to keep, and for how many milliseconds. */
  readonly retention: { readonly count: number; readonly age: number }
  /** The tasks of the runtime, by their number. */
  readonly entries: readonly TaskEntry[]
  /** What the id of every job of this runtime starts with. */
  readonly idPrefix: string
  /** Unfinished jobs that this runtime did not accept itself are now its own to run, or (less than 0) no longer. */
  adopted(jobs: number): void
  /** Jobs of this pool have become available. */
  wake(pool: string): void
  /** Jobs that the threads of a pool can run at once, when all of them are up. */
  slots?(pool: string): number
  /** A job that runs here is not ours any more: its attempt is to end, and its outcome does not count. */
  leaseLost?(job: JobRecord): void
  /** The outcome of an attempt came after the job was ours no more: it was refused. */
  fenced?(job: JobRecord, state: JobState): void
  /** Another process asks to cancel a job that this one has. */
  cancel?(job: JobRecord, reason: unknown): boolean
  /** Where jobs are kept cannot be reached (with why), or can again (undefined) after so many milliseconds. */
  reached?(fault: Error | undefined, downFor: number): void
  /** A job has reached its terminal state. `ran` is its last attempt's run time, where that was told a while ago. */
  settled(job: JobRecord, ran?: number): void
  /** A job whose record had been let go turns out to be over, and that was told at its time: its promises were not. */
  recalled(job: JobRecord): void
}

/** How a job ended, as the engine tells it to the broker. */
export interface Ended {
  readonly state: TerminalState
  readonly result?: Encoded | Moved
  readonly error?: WireError | Error
  readonly reason?: string
  /** When it ended, on the monotonic clock; now where nothing tells. */
  readonly at?: number
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

/** How an attempt went, as the engine tells it to a broker that keeps the history of attempts. */
export interface Attempted {
  readonly outcome: AttemptOutcome
  /** On the monotonic clock; undefined when the attempt's thread took the knowledge with it. */
  readonly started: number | undefined
  readonly ended: number
  readonly error?: WireError | Error
}

/** A schedule as a broker keeps it: plain data, and when it is next due. */
export interface StoredSchedule {
  readonly id: string
  /** What to run and when, as JSON. */
  readonly definition: string
  /** The wall-clock time of the next run, in milliseconds since 1970. */
  readonly nextAt: number
}

/** How it stands between this process and a broker outside of it. */
export interface BrokerStats {
  /** `down` while the place where jobs are kept cannot be reached. */
  readonly state: 'up' | 'down'
  /** Accepted jobs that it does not hold yet. */
  readonly buffered: number
  /** Outcomes that came after their lease was lost, and were refused. */
  readonly fenced: number
}

/** Where schedules are kept by a broker that survives the process. A change travels with the jobs of the same turn, or not at all. */
export interface ScheduleStore {
  load(): Promise<readonly StoredSchedule[]>
  put(schedule: StoredSchedule): void
  remove(id: string): void | Promise<void>
  /** Where several processes share the schedules: which of them makes a run. */
  readonly turns?: ScheduleTurns
}

/** Who makes a run of a schedule that several processes share. `put` leaves one alone that is unchanged there. */
export interface ScheduleTurns {
  /**
   * Takes the run that is due, for some seconds. False when another process has taken it or made it, or when the
   * schedule has been changed or removed.
   */
  take(schedule: StoredSchedule): Promise<boolean>
  /** The run that was taken has been added, and the schedule is next due then. */
  made(schedule: StoredSchedule, nextAt: number): Promise<void>
  /** Calls back when another process has set or removed a schedule, or may have. */
  onChange(callback: () => void): void
}

/** Where jobs wait. */
export interface Broker {
  /** True when a job whose `stored` has resolved survives the process. */
  readonly durable: boolean
  /** Called once, before anything else. */
  open(host: BrokerHost): void | Promise<void>
  /** Takes jobs in. `after` is the unfinished job of the same batch that the first of them waits for. */
  add(job: JobRecord, after: JobRecord | null): void
  /** The response of a held job is over, and it is to run. */
  release(job: JobRecord): void
  /** A held job waits for none of its batch any more; those behind it wait for the one before it. */
  detach(job: JobRecord): void
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
  /** A job by its number in this runtime, if it is at hand; finished ones included for as long as they are. */
  get(seq: number): JobRecord | undefined
  /** Jobs that fit a filter, newest first. */
  list(filter: JobFilter): readonly JobRecord[] | Promise<readonly JobRecord[]>
  /** A dead job is to start over, with a new count of attempts. */
  revive(job: JobRecord): void
  /**
   * While a task is held, its available jobs stay so, and neither `peek` nor `claim` tells of them: they keep ending
   * threads, and the jobs of other tasks go before them. Where it is missing, only those wait that have crashed.
   */
  hold?(task: TaskEntry, isHeld: boolean): void
  /** When the next scheduled or retryable job is due, on the monotonic clock; Infinity when there is none. */
  nextDue(): number
  /** How many jobs are in each state. */
  counts(): Record<JobState, number> | Promise<Record<JobState, number>>
  /** Stops timers and lets go of what is held open. */
  close(): void | Promise<void>

  /** True when no other process can hold a unique key, so that one can be let go of early, or taken over. */
  readonly ownsKeys?: boolean
  /** A job takes the unique key in its record, whose holder has been cancelled. Only where `ownsKeys` says so. */
  takeKey?(job: JobRecord): void

  // What only a broker outside this process has to do.

  /** Whether this process runs jobs of a pool; a pool that it does not run gets no threads. */
  runs?(pool: string): boolean
  /** True when the job is not with this process: whoever has it is asked to cancel it. */
  cancelElsewhere?(job: JobRecord, reason: unknown): boolean
  /** The handler of a job that runs here has told its progress, which is in the record. */
  progressed?(job: JobRecord): void
  /** The handler of a job that runs here has logged a line. */
  logged?(job: JobRecord, level: string, message: string): void
  /** How it stands between this process and the place where jobs are kept. */
  stats?(): BrokerStats

  /** Why no job can be taken in at present, such as a full disk; undefined when one can. */
  refusal?(): Error | undefined
  /** Resolves when the job is as safe as the broker can make it; rejects when it could not take the job. */
  stored?(job: JobRecord): Promise<void>
  /** Somebody waits for the job's end: its record must be the one that is told of it. */
  keep?(job: JobRecord): void
  /** The record that is told of what becomes of the job, for one that may not be. */
  current?(job: JobRecord): JobRecord
  /** Claimed jobs were sent to a thread in one message: a lone one can be said to run from now on. */
  sent?(jobs: readonly JobRecord[], thread: number): void
  /** True when jobs come as others end: a bundle that waits for company only keeps them away. */
  readonly refills?: boolean
  /** True when it keeps every attempt, also of a job that completes at the first: CPU time is measured then. */
  readonly keepsHistory?: boolean
  /** How an attempt went; told before what follows from it. Of one that completed only where `keepsHistory` says so. */
  attempted?(job: JobRecord, attempt: Attempted): void
  /** A job by its id, wherever it is. */
  find?(id: string): Promise<JobRecord | undefined>
  /** The attempts of a job, oldest first. */
  history?(job: JobRecord): Promise<readonly AttemptInfo[]>
  /** Forgets a job that is over. Resolves to false when it is not. */
  remove?(job: JobRecord): Promise<boolean>
  /** Where schedules are kept. */
  readonly schedules?: ScheduleStore
}
