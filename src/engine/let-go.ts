/** What is let go of when a job is over: it can be looked up for long, and must not hold what its calls gave. */
import type { JobRecord } from '../rules/job-record.ts'
import { fromWireError, toWireError } from '../rules/wire-error.ts'
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
  extras.abort = undefined
  const { errors } = extras
  const last = errors?.at(-1)
  if (errors !== undefined && last instanceof TaskCancelledError) errors[errors.length - 1] = keptOf(last)
}

/**
 * The error of a cancelled job as it is kept. Whoever waited has it as it was, but the reason that a caller gave may be
 * large, or hold a whole request: a copy of it is kept, as of everything else that a job remembers.
 */
function keptOf(error: TaskCancelledError): TaskCancelledError {
  // Until it is read, a stack holds the objects whose methods were called, the caller's own among them.
  const { cause, stack } = error
  if (!isObject(cause)) return error
  const copied = fromWireError(toWireError(error))
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const kept = new TaskCancelledError('', copied.cause)
  Error.stackTraceLimit = stackTraceLimit
  const rest = { writable: true, configurable: true, enumerable: false }
  Object.defineProperties(kept, {
    message: { value: error.message, ...rest },
    stack: { value: stack, ...rest },
  })
  return kept
}

function isObject(value: unknown): boolean {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
