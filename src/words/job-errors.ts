/** Why a job did not complete. */
import { AftertaskError, isError } from './aftertask-error.ts'
import { asText, describeValue, memberOf } from './describe.ts'

/** An attempt ran longer than its task's `timeout`. */
export class TaskTimeoutError extends AftertaskError {
  constructor(task: string, timeout: number) {
    super(
      'ERR_TASK_TIMEOUT',
      `"${asText(task)}" was still running after its timeout of ${asText(timeout)} ms.`,
    )
  }
}

/** A job waited longer than its `queueTimeout` before an attempt could start. */
export class QueueTimeoutError extends AftertaskError {
  constructor(task: string, queueTimeout: number) {
    super(
      'ERR_QUEUE_TIMEOUT',
      `"${asText(task)}" waited longer than its queueTimeout of ${asText(queueTimeout)} ms and was not started.`,
    )
  }
}

/** What a handler returned has more bytes than `maxResultBytes`: its job is dead, since another attempt would return as much. */
export class ResultTooLargeError extends AftertaskError {
  /** Bytes that a result may have. */
  readonly maxBytes: number

  constructor(task: string, maxBytes: number) {
    super(
      'ERR_RESULT_TOO_LARGE',
      `The result of "${asText(task)}" is larger than ${asText(maxBytes)} bytes. Keep the data elsewhere and return where it is, or raise maxResultBytes in createRuntime.`,
    )
    this.maxBytes = maxBytes
  }
}

/** `result()` rejects with this when the job was cancelled. */
export class TaskCancelledError extends AftertaskError {
  constructor(task: string, reason?: unknown) {
    super(
      'ERR_TASK_CANCELLED',
      `"${asText(task)}" was cancelled.`,
      reason === undefined ? {} : { cause: reason },
    )
  }
}

/** `result()` rejects with this when the job was skipped: its response did not call for it. */
export class TaskSkippedError extends AftertaskError {
  /** Why, in words: `the response failed with status 500`, for example. */
  readonly reason: string

  constructor(task: string, reason: string) {
    super('ERR_TASK_SKIPPED', `"${asText(task)}" was skipped: ${asText(reason)}.`)
    this.reason = reason
  }
}

/** `result()` rejects with this when the job is over and no longer kept, so that nobody knows how it ended. */
export class JobForgottenError extends AftertaskError {
  constructor(task: string) {
    super(
      'ERR_JOB_FORGOTTEN',
      `"${asText(task)}" is over, but its broker keeps it no more: ask for "settled" earlier, or raise "retention".`,
    )
  }
}

/** How a job got lost: with the memory of its process, before its store had it, or with its store's data. */
export type LossOf = 'memory' | 'unwritten' | 'store'

/**
 * `result()` rejects with this when no broker has the job any more: the runtime stopped before a job in memory could finish,
 * or before a store had taken it, or the store has forgotten what it had.
 */
export class JobLostError extends AftertaskError {
  constructor(task: string, how: LossOf = 'memory') {
    const name = asText(task)
    const stopped = `The runtime stopped before "${name}" had finished, and its broker`
    const message =
      how === 'store'
        ? `"${name}" had not finished, and its store does not have it any more.`
        : `${stopped} ${how === 'memory' ? 'keeps nothing' : 'does not have it'}.`
    super('ERR_JOB_LOST', message)
  }
}

/** The thread died while it ran the job: `process.exit` in a handler, for example. */
export class ThreadExitedError extends AftertaskError {
  /** The thread's exit code. */
  readonly exitCode: number

  constructor(task: string, exitCode: number, options: { cause?: unknown } = {}) {
    super(
      'ERR_THREAD_EXITED',
      `The thread that ran "${asText(task)}" exited with code ${asText(exitCode)}.`,
      options,
    )
    this.exitCode = exitCode
  }
}

/** The whole process ended while it ran the job: it was killed, or brought down by native code. */
export class ProcessExitedError extends AftertaskError {
  constructor(task: string) {
    super('ERR_PROCESS_EXITED', `The process that ran "${asText(task)}" ended before the attempt did.`)
  }
}

/** The thread reached its heap limit while it ran the job. */
export class OutOfMemoryError extends AftertaskError {
  constructor(task: string, options: { cause?: unknown } = {}) {
    super(
      'ERR_OUT_OF_MEMORY',
      `The thread that ran "${asText(task)}" reached its heap limit. Raise pool.resourceLimits or do less in one job.`,
      options,
    )
  }
}

/** A handler threw something that is not an `Error`; the value is the `cause`. */
export class NonErrorThrownError extends AftertaskError {
  constructor(value: unknown) {
    super('ERR_NON_ERROR_THROWN', `The handler threw a value that is not an Error: ${describeValue(value)}`, {
      cause: value,
    })
  }
}

/**
 * Throw this in a handler to give up at once: the job is `dead` without further attempts.
 * Import it from `aftertask/errors` in handler modules, which loads nothing else. The name is BullMQ's.
 */
export class UnrecoverableError extends AftertaskError {
  constructor(message = 'The handler gave up.', options: { cause?: unknown } = {}) {
    super('ERR_UNRECOVERABLE', message, options)
  }
}

/** True when an error, also one that came from a thread or another copy of this module, says that a retry is in vain. */
export function isUnrecoverable(error: unknown): boolean {
  if (!isError(error)) return false
  const code = memberOf(error, 'code')
  if (code === 'ERR_UNRECOVERABLE' || code === 'ERR_RESULT_TOO_LARGE') return true
  return memberOf(error, 'name') === 'UnrecoverableError'
}
