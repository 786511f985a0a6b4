/** What is let go of when a job is over: it can be looked up for long, and must not hold what its calls gave. */
import type { JobRecord } from '../rules/job-record.ts'
import { toWireError } from '../rules/wire-error.ts'
import { TaskCancelledError } from '../words/errors.ts'
import { isTerminal } from '../words/job.ts'

/** A job is over and that was told. One that a listener has revived meanwhile keeps what it has. */
export function letGo(job: JobRecord): void {
  const { batch, extras } = job
  batch?.ended?.(job)
  if (!isTerminal(job.state)) return
  // A batch holds its response. One that died before that was over is held again when it is revived.
  if (batch !== null && (job.state !== 'dead' || batch.facts !== null)) job.batch = null
  if (extras === null) return
  if (job.batch === null) extras.when = undefined
  extras.settle = undefined
  extras.ending = undefined
  // Whoever waited has the error as it was. What a caller gave as the reason may be large, or hold a whole request.
  const { errors } = extras
  const last = errors?.at(-1)
  if (errors !== undefined && last instanceof TaskCancelledError && isObject(last.cause))
    errors[errors.length - 1] = toWireError(last)
}

function isObject(value: unknown): boolean {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
