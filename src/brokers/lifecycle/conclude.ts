/** The end of a job, in its record. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Ended } from '../port/broker.ts'

/** Brings a record to its end; `now` is on the monotonic clock. */
export function conclude(job: JobRecord, ended: Ended, now: number): void {
  job.state = ended.state
  job.readyAt = Math.round(now)
  // A dead job can be revived; no other that is over has a use for its payload.
  if (ended.state === 'completed') job.result = ended.result
  else if (ended.state !== 'dead') job.payload = undefined
  if (ended.error !== undefined) {
    const { more } = job
    more.errors ??= []
    more.errors.push(ended.error)
  }
  if (ended.reason !== undefined) job.more.reason = ended.reason
}
