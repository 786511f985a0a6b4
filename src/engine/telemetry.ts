/** What `createRuntime({ telemetry })` takes: how jobs and their attempts become traces. `aftertask/opentelemetry` makes one. */
import type { JobContext } from '../rules/job-record.ts'
import type { AttemptOutcome } from '../words/job.ts'

/** A job, as telemetry sees it. */
export interface TracedJob {
  readonly id: string
  /** The name of its task. */
  readonly name: string
  readonly pool: string
  /** The attempt that is made, from 1; 0 before the first. */
  readonly attempt: number
  /** What travels with the job: the trace that its request belongs to, or the one that `added` has returned. */
  readonly context: JobContext | undefined
}

/** An attempt that is over. Times are milliseconds since 1970. */
export interface TracedAttempt {
  readonly outcome: AttemptOutcome
  /** Absent when the thread died and nobody can tell. */
  readonly startedAt: number | undefined
  readonly endedAt: number
  /** Why it did not complete the job. */
  readonly error: Error | undefined
}

/**
 * Makes traces. Its methods run on the event loop, in the context of whoever adds a job or of nobody; what they throw is
 * told once on stderr and changes nothing for the job.
 */
export interface Telemetry {
  /**
   * The file of a module that threads import before any handler. It exports `runInTrace(traceparent, call)`, which calls
   * `call` so that spans which it makes become children of that trace, and returns what it returns.
   */
  readonly threadModule: URL | undefined
  /** A job is about to be accepted. Returns the `traceparent` that is to travel with it; undefined leaves what it has. */
  added(job: TracedJob): string | undefined
  /** An attempt is sent to a thread. Returns the `traceparent` for its handler; undefined leaves that of the job. */
  sent(job: TracedJob): string | undefined
  /** An attempt that was sent has not started and is taken back: there is no trace of it. */
  takenBack(job: TracedJob): void
  /** An attempt is over: it has completed, failed, or was ended with its thread. */
  ended(job: TracedJob, attempt: TracedAttempt): void
}
