/**
 * The broker port: where jobs wait, and the rules of when a job may run. A broker is a set of capabilities. Each part of
 * the engine is given one of them and knows nothing else of the broker. Nothing in here is optional: a broker that has
 * nothing to do for a call does nothing, and one that lacks a whole capability says null.
 *
 * Every broker keeps the same rules; the contract suite (`aftertask/broker-contract`) checks them:
 *
 * - A held job waits for `release`. A job then waits for the job before it in its batch, then for its time, then for its
 *   key. After that it is available, and the best rank goes first.
 * - `claim` is synchronous, since it stands on the path of every job. A broker whose jobs are elsewhere fetches ahead,
 *   within a bounded window, and calls `BrokerHost.wake` when jobs have come.
 * - A terminal state is reported to the host exactly once, when it is as safe as the broker can make it.
 */
import type { Encoded, Snapshot } from '../../rules/codec.ts'
import type { JobRecord } from '../../rules/job-record.ts'
import type { KeptLine, KeptLog } from '../../rules/log-lines.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import type { AttemptInfo, JobState, LogLimits } from '../../words/job.ts'
import type { Attempt, Ending } from './attempt.ts'
import type { BrokerHost } from './host.ts'
import type { ScheduleStore } from './schedules.ts'
import type { Found, JobSearch } from './search.ts'
import type { TaskTally } from './tally.ts'

/** Where jobs wait. One broker serves one runtime, once. */
export interface Broker {
  /** Takes jobs in: for the engine's intake and batches. */
  readonly intake: IntakeBroker
  /** The jobs that can run now: for the scheduler. */
  readonly ready: ReadyJobs
  /** Hears how attempts go: for the engine's outcomes. */
  readonly attempts: AttemptSink
  /** Answers questions about jobs: for the runtime and for the handles of jobs. */
  readonly jobs: JobDirectory
  /** Changes jobs that have not begun. Null: this broker cannot. */
  readonly changes: JobChanges | null
  /** Present when a job whose `stored` has resolved survives the process. Null: jobs end with the process. */
  readonly durability: Durability | null
  /** Present when other processes take part. Null: this process has every job. */
  readonly cluster: Cluster | null
  /** Present when schedules survive the process. */
  readonly schedules: ScheduleStore | null
  /** Called once, before anything else. What it throws or rejects with is what `runtime.ready()` rejects with. */
  open(host: BrokerHost): void | Promise<void>
  /**
   * Stops timers and releases what is held open. Called once, after the last job has ended or was given up. A broker whose
   * store does not answer gives up what is not written after `milliseconds`, and tells those jobs as lost.
   */
  close(milliseconds?: number): void | Promise<void>
}

/** Takes jobs in. */
export interface IntakeBroker {
  /** True when payloads are written down: they are encoded at the call, also those that move their buffers. */
  readonly storesPayloads: boolean
  /** True when no other process can hold a unique key, so that a key can be released early, or taken over. */
  readonly ownsKeys: boolean
  /** Why no job can be taken in at present, such as a full disk; undefined when jobs can be. */
  refusal(): Error | undefined
  /** The unfinished job that holds a unique key, as far as this process knows. */
  holderOf(uniqueKey: string): JobRecord | undefined
  /** The job takes the unique key in its record, whose holder has been cancelled. Called only where `ownsKeys` is true. */
  takeKey(job: JobRecord): void
  /**
   * Takes a job in. The job is held when its batch has no `facts` yet. `after` is the unfinished job of the same batch that
   * it waits for. When `extras.queueTimeout` milliseconds have passed since then and no attempt has started, the broker
   * ends the job as dead, with a QueueTimeoutError.
   */
  add(job: JobRecord, after: JobRecord | null): void
  /** The response of a held job is over: the job may run. Called for a job that is over as well, and does nothing then. */
  release(job: JobRecord): void
  /** A held job waits for no job of its batch any more; the job behind it waits for the job before it. */
  detach(job: JobRecord): void
}

/** The jobs that can run now. */
export interface ReadyJobs {
  /** True when jobs come as others end: a bundle that waits for company only keeps them away. */
  readonly refills: boolean
  /** True when `hold` has an effect. False: only those jobs of a held task wait that have crashed. */
  readonly holdsTasks: boolean
  /** The next available job of a pool, left in place. */
  peek(pool: string): JobRecord | undefined
  /** Takes the job that `peek` shows; its state is `running` from now on. */
  claim(pool: string): JobRecord | undefined
  /** Claimed jobs were sent to a thread in one message. A job that was sent alone can be said to run from now on. */
  sent(jobs: readonly JobRecord[], thread: number): void
  /**
   * Holds a task back, or stops doing so: its jobs keep ending threads. They stay available, but `peek` and `claim` pass
   * over them.
   */
  hold(task: TaskEntry, isHeld: boolean): void
}

/** Hears how the attempts of claimed jobs go. */
export interface AttemptSink {
  /** True when every attempt is kept, also one that completes its job: the CPU time of attempts is measured then. */
  readonly keepsHistory: boolean
  /** The handler has reported progress, which is in `extras.progress`. */
  progress(job: JobRecord): void
  /** The handler has said a line. Of the lines of a job the last are kept, as far as `limits` go. */
  log(job: JobRecord, line: KeptLine, limits: LogLimits): void
  /** The job was not started (`attempt` is null), or was interrupted: it is available again, at its old rank. */
  putBack(job: JobRecord, attempt: Attempt | null): void
  /** The attempt failed, and the job is to be tried again at `dueAt` on the monotonic clock. */
  retry(job: JobRecord, dueAt: number, attempt: Attempt): void
  /** The job is over, also one that was never claimed. The next job of its batch and of its key may run. */
  finish(job: JobRecord, ending: Ending): void
}

/** Which jobs `JobDirectory.list` returns: all conditions must hold. */
export interface JobFilter {
  /** One of these states. */
  state?: JobState | readonly JobState[]
  /** The task's name. */
  task?: string
  /** At most this many, newest first. Default 100. */
  limit?: number
}

/** Answers questions about jobs, and changes jobs that are over. */
export interface JobDirectory {
  /** A job of this runtime by its number, if it is at hand; finished jobs included while they are kept. */
  get(seq: number): JobRecord | undefined
  /** A job by its id that `get` does not have: wherever it is. */
  find(id: string): Promise<JobRecord | undefined>
  /** Jobs that fit a filter, newest first. A broker without `durability` answers at once. */
  list(filter: JobFilter): readonly JobRecord[] | Promise<readonly JobRecord[]>
  /**
   * One page of the jobs that fit. Jobs of tasks that this process does not have are found like all others. Rejects with an
   * OptionsInvalidError for a place that is none of the broker's own.
   */
  search(search: JobSearch): Promise<Found>
  /** How many jobs are in each state. A broker without `durability` answers at once. */
  counts(): Record<JobState, number> | Promise<Record<JobState, number>>
  /** How many jobs of each task there are, those of tasks that this process does not have included. */
  tally(): Promise<readonly TaskTally[]>
  /** When the next scheduled or retryable job is due, on the monotonic clock; Infinity when there is none. */
  nextDue(): number
  /** The attempts of a job that are over, oldest first. */
  history(job: JobRecord): Promise<readonly AttemptInfo[]>
  /** What is kept of a job's lines, and how many are not. It may be more than its limits; then its oldest lines are not shown. */
  logs(job: JobRecord): Promise<KeptLog>
  /** True when a dead job is still kept, so that it can be revived. */
  isKept(job: JobRecord): boolean
  /**
   * Lets a dead job start over, with a new count of attempts. Does nothing for any other job. The promise resolves once that
   * is as safe as the broker can make it. A broker without `durability` answers at once.
   */
  revive(job: JobRecord): void | Promise<void>
  /** Forgets a job that is over. Resolves to false when the job is not over, or unknown. */
  remove(job: JobRecord): Promise<boolean>
}

/** What is to be different about a job that has not begun. */
export interface JobChange {
  readonly priority?: number
  /** When it may start, on the monotonic clock: at once, when that is past. A retry that is due is made then. */
  readonly dueAt?: number
  /** What its handler is to be given. */
  readonly payload?: { readonly encoded: Encoded | Snapshot }
}

/** Changes jobs that have not begun. */
export interface JobChanges {
  /**
   * Changes a job that waits: for its response, for another job, for its time, for its next attempt, or for a thread. Resolves
   * to true once that is as safe as the broker can make it: every attempt that starts from then on goes by it. Resolves to
   * false, with nothing changed, when an attempt is under way, the job is over, or another process has it.
   */
  change(job: JobRecord, change: JobChange): Promise<boolean>
}

/** What a broker adds whose jobs survive the process. */
export interface Durability {
  /** Resolves when the job is as safe as the broker can make it; rejects when the broker could not take the job. */
  stored(job: JobRecord): Promise<void>
  /** A caller awaits this job: its end must be reported on this very record. */
  pin(job: JobRecord): void
  /** The record on which the job's end will be reported, for a record that may have been let go. */
  current(job: JobRecord): JobRecord
  /** How the broker is doing: what `runtime.stats().broker` shows, and what a worker's `/ready` goes by. */
  stats(): BrokerStats
}

/** How a broker is doing that keeps jobs outside of this process. */
export interface BrokerStats {
  /** `down` while nothing can be written where jobs are kept. */
  readonly state: 'up' | 'down'
  /** Accepted jobs that it does not hold yet. */
  readonly buffered: number
  /** Outcomes that came after their lease was lost, and were refused. */
  readonly fenced: number
}

/** What a broker adds that several processes share. */
export interface Cluster {
  /** Whether this process runs jobs of a pool; a pool that it does not run gets no threads. */
  runs(pool: string): boolean
  /**
   * Cancels a job that is not with this process, or has the one that runs it cancel it. The promise resolves once the job is
   * cancelled, or the other process has been asked to. False when the job is with this process.
   */
  cancelRemote(job: JobRecord, reason: unknown): Promise<void> | false
  /**
   * This process starts no jobs of a pool for now, or (`isPaused` is false) does so again: those that it has and that have
   * not begun are for the others.
   */
  paused(pool: string, isPaused: boolean): void
}
