/** What a broker is given by the runtime that opens it. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import type { Clock } from '../../words/clock.ts'
import type { JobState } from '../../words/job.ts'

/** The engine, as a broker sees it: settings, and what the broker has to report. */
export interface BrokerHost {
  /** The only source of time and timers. */
  readonly clock: Clock
  /** Milliseconds of waiting that weigh as much as one step of priority; 0 turns ageing off. */
  readonly ageing: number
  /** How many finished jobs to keep, and for how many milliseconds. */
  readonly retention: { readonly count: number; readonly age: number }
  /** The tasks of the runtime, by their number. */
  readonly entries: readonly TaskEntry[]
  /** What the id of every job of this runtime starts with; the job's `seq` in base 36 follows. */
  readonly idPrefix: string
  /** Tells whoever runs the server one line, such as of an option that the broker has no use for. */
  warn(line: string): void
  /** How many jobs the threads of a pool can run at once, when all of them are up. */
  slots(pool: string): number

  /** Jobs of this pool have become available. */
  wake(pool: string): void
  /**
   * The job has reached its terminal state, and that is as safe as the broker can make it. Called exactly once for each end.
   * `ran` is the run time of the attempt that ended the job, in milliseconds; 0 without one. See `ranOf`.
   */
  settled(job: JobRecord, ran: number): void
  /** The record of this job had been let go, and the job's end was reported at its time: only its promises still wait. */
  settledLate(job: JobRecord): void

  // A broker that keeps jobs outside of the process also reports these.

  /** Unfinished jobs that this runtime did not accept itself: so many more are now its own to run, or (below 0) fewer. */
  pendingChanged(jobs: number): void
  /** So many bytes of payloads of unfinished jobs, as their records told them, are not held in memory here any more. */
  freed(bytes: number): void
  /** The place where jobs are kept cannot be reached (`fault` says why), or can be again after `downFor` milliseconds. */
  connectionChanged(fault: Error | undefined, downFor: number): void
  /** Another process may have the job that runs here: its attempt is to end, and its outcome does not count. */
  leaseLost(job: JobRecord): void
  /** The outcome of an attempt came after its lease was lost, and was refused. */
  fenced(job: JobRecord, state: JobState): void
  /** Another process asks to cancel a job that this process has. False when the job is over. */
  cancel(job: JobRecord, reason: unknown): boolean
}
