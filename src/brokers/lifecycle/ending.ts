/** The end of a job, in its record. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Ending } from '../port/attempt.ts'

/** Brings a record to its end. `now` is on the monotonic clock. */
export function applyEnding(job: JobRecord, ending: Ending, now: number): void {
  job.state = ending.state
  job.readyAt = Math.round(now)
  // A dead job can be revived; no other that is over has a use for its payload.
  if (ending.state === 'completed') job.result = ending.result
  else if (ending.state !== 'dead') job.payload = undefined
  if (ending.error !== undefined) {
    const { more } = job
    more.errors ??= []
    more.errors.push(ending.error)
  }
  if (ending.reason !== undefined) job.more.reason = ending.reason
}
