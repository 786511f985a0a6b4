/** How attempts and jobs end, as the engine tells a broker. */
import type { Encoded } from '../../rules/codec.ts'
import type { Moved } from '../../rules/moved.ts'
import type { WireError } from '../../rules/wire-error.ts'
import type { AttemptOutcome, TerminalState } from '../../words/job.ts'

/** One attempt that is over. */
export interface Attempt {
  /** Counted from 1. An interrupted attempt does not count: the next one has the same number. */
  readonly number: number
  readonly outcome: AttemptOutcome
  /** On the monotonic clock; undefined when the thread died and nobody can tell. */
  readonly started: number | undefined
  /** On the monotonic clock. */
  readonly ended: number
  /** Absent for an attempt that completed the job or was interrupted. */
  readonly error?: WireError | Error
}

/** How a job ended. */
export interface Ending {
  readonly state: TerminalState
  /** What the handler returned; with the state `completed` only. */
  readonly result?: Encoded | Moved
  readonly error?: WireError | Error
  /** Why the job was skipped, or `lost`. */
  readonly reason?: string
  /** The attempt that ended the job; absent when the job ended without one, such as a cancelled job that never started. */
  readonly attempt?: Attempt
}

/** The run time of a job's last attempt in milliseconds; 0 when there was none, or when nobody can tell. */
export function ranOf(attempt: Attempt | undefined): number {
  return attempt?.started === undefined ? 0 : attempt.ended - attempt.started
}
