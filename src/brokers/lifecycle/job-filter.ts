/** Which jobs a filter lets through. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { JobFilter } from '../port/broker.ts'

/** What tells whether a job fits; the limit is for whoever gathers them. */
export function fitting({ state, task }: JobFilter): (job: JobRecord) => boolean {
  const states = state === undefined ? undefined : new Set([state].flat())
  return (job) =>
    (states === undefined || states.has(job.state)) && (task === undefined || job.entry.task.name === task)
}
