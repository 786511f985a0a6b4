/** What a call refuses: an argument, a payload, a job for which there is no room. */
import { AftertaskError, type ErrorDetails } from './aftertask-error.ts'
import { asList, asText, memberOf } from './describe.ts'

/** Thrown by every function that is given an argument or an option which is unknown or has a bad value. */
export class OptionsInvalidError extends AftertaskError {
  /** Where the fault is, as a dotted path such as `pool.threads`. */
  readonly path: string

  constructor(message: string, path = '', options: { cause?: unknown } = {}) {
    super('ERR_OPTIONS_INVALID', message, options)
    this.path = path
  }
}

/** Thrown when a job is added for a name that no task of the runtime has. */
export class UnknownTaskError extends AftertaskError {
  /** The name that was asked for. */
  readonly task: string

  constructor(task: string, known: readonly string[], suggestion?: string) {
    const hint = suggestion ? `Did you mean "${asText(suggestion)}"? ` : ''
    const names = asList<string>(known).map(asText)
    const more = names.length > 12 ? ', ...' : ''
    const list = names.length > 0 ? `Known tasks: ${names.slice(0, 12).join(', ')}${more}. ` : ''
    const isTwin = names.includes(task)
    super(
      'ERR_UNKNOWN_TASK',
      isTwin
        ? `The runtime has another task named "${asText(task)}" than this one.`
        : `No task is named "${asText(task)}".`,
      {
        advice: isTwin
          ? 'The module that defines it was loaded twice, perhaps under two names. Pass the runtime the object that you add jobs with, or use the name.'
          : `${hint}${list}Pass it in createRuntime({ tasks: [...] }).`,
      },
    )
    this.task = asText(task)
  }
}

/** Thrown by `runtime.runAgain()` when the payload of a job that is over is not kept, and none is given. */
export class PayloadNotKeptError extends AftertaskError {
  /** The job that was to run again. */
  readonly jobId: string

  constructor(jobId: string, state: string) {
    super(
      'ERR_PAYLOAD_NOT_KEPT',
      `The payload of job "${asText(jobId)}" is not kept any more: the job is ${asText(state)}.`,
      { advice: 'Give it: runAgain(id, { payload }). Of jobs that are over, dead ones alone keep theirs.' },
    )
    this.jobId = asText(jobId)
  }
}

/** One finding of a payload schema, in the shape that Standard Schema gives it. */
export interface PayloadIssue {
  /** What is wrong, in the schema library's words. */
  readonly message: string
  /** The keys that lead to the value, outermost first. */
  readonly path: readonly (string | number)[]
}

/** Thrown at `req.after()` or `enqueue()` when the payload does not fit the task's schema; carries the schema's issues. */
export class PayloadInvalidError extends AftertaskError {
  /** The task whose schema refused. */
  readonly task: string
  /** What the schema found, one entry a fault. */
  readonly issues: readonly PayloadIssue[]

  constructor(task: string, issues: readonly PayloadIssue[]) {
    super('ERR_PAYLOAD_INVALID', `The payload of "${asText(task)}" is not valid: ${inWords(issues)}`, {
      status: 400,
    })
    this.task = asText(task)
    this.issues = asList(issues)
  }
}

/** The result of a handler did not fit the task's `result` schema: the attempt fails with this. */
export class ResultInvalidError extends AftertaskError {
  /** What the schema found. */
  readonly issues: readonly PayloadIssue[]

  constructor(task: string, issues: readonly PayloadIssue[]) {
    super(
      'ERR_RESULT_INVALID',
      `The handler of "${asText(task)}" returned what its result schema refuses: ${inWords(issues)}`,
    )
    this.issues = asList(issues)
  }
}

/** Thrown at `req.after()` or `enqueue()` when a payload has more bytes than `maxPayloadBytes`: nothing was accepted. */
export class PayloadTooLargeError extends AftertaskError {
  /** The task that it was for. */
  readonly task: string
  /** Bytes that a payload may have. */
  readonly maxBytes: number

  constructor(task: string, maxBytes: number) {
    super(
      'ERR_PAYLOAD_TOO_LARGE',
      `The payload of "${asText(task)}" is larger than ${asText(maxBytes)} bytes.`,
      {
        status: 413,
        advice: 'Keep the data elsewhere and send where it is, or raise maxPayloadBytes in createRuntime.',
      },
    )
    this.task = asText(task)
    this.maxBytes = maxBytes
  }
}

/** `ctx.progress()` was given a value of more bytes than `maxProgressBytes`. */
export class ProgressTooLargeError extends AftertaskError {
  /** Bytes that it may have. */
  readonly maxBytes: number

  constructor(task: string, maxBytes: number) {
    super(
      'ERR_PROGRESS_TOO_LARGE',
      `The progress of "${asText(task)}" is larger than ${asText(maxBytes)} bytes. Tell how far it is, and return the data as the result; or raise maxProgressBytes in createRuntime.`,
    )
    this.maxBytes = maxBytes
  }
}

/** A payload, result or baggage holds something that cannot travel to or from a thread, such as a function or a socket. */
export class NotSerializableError extends AftertaskError {
  /** Where the value is, such as `payload.user.save`. */
  readonly path: string

  /** `why` and `remedy` take the place of the usual words. */
  constructor(path: string, what: string, options: { cause?: unknown; why?: string; remedy?: string } = {}) {
    const why = memberOf(options, 'why') ?? 'which cannot travel between threads'
    const remedy =
      memberOf(options, 'remedy') ??
      'Send plain data: ids, strings, numbers, dates, maps, sets, bytes, errors.'
    super(
      'ERR_NOT_SERIALIZABLE',
      `${asText(path)} is ${asText(what)}, ${asText(why)}. ${asText(remedy)}`,
      options,
    )
    this.path = path
  }
}

/**
 * Thrown at `req.after()` or `enqueue()` when `maxPending` jobs are unfinished, or their payloads have `maxPendingBytes`: nothing
 * was accepted.
 */
export class QueueFullError extends AftertaskError {
  /** Seconds after which a retry has a chance, estimated from the current rate; fits the `Retry-After` header. */
  readonly retryAfter: number

  /** `bytes`: of payloads, where it is these that are too many. */
  constructor(
    pending: number,
    maxPending: number,
    retryAfter: number,
    bytes?: { readonly pending: number; readonly max: number },
  ) {
    const jobs = pending === 1 ? '1 job is' : `${asText(pending)} jobs are`
    const full =
      bytes === undefined
        ? `${jobs} unfinished and maxPending is ${asText(maxPending)}`
        : `${jobs} unfinished with ${asText(memberOf(bytes, 'pending'))} bytes of payload, and maxPendingBytes is ${asText(memberOf(bytes, 'max'))}`
    const option = bytes === undefined ? 'maxPending' : 'maxPendingBytes'
    super('ERR_QUEUE_FULL', 'The queue is full. Try again later.', {
      status: 503,
      advice: `${full}. Answer 503 with Retry-After: ${asText(retryAfter)}, use tryAfter(), or raise ${option}.`,
    })
    this.retryAfter = retryAfter
  }

  /** The headers of an answer that tells it to the client; Express sets them. */
  get headers(): { readonly 'retry-after': string } {
    return { 'retry-after': asText(this.retryAfter) }
  }
}

/** Thrown when a job is added to a runtime that is stopping or has stopped. */
export class RuntimeStoppedError extends AftertaskError {
  constructor(state: 'stopping' | 'stopped') {
    super('ERR_RUNTIME_STOPPED', `The runtime is ${asText(state)} and accepts no more jobs.`, { status: 503 })
  }
}

/** Thrown by `after()` outside of a request: there is no response that the job could wait for. */
export class NoRequestError extends AftertaskError {
  constructor(task: unknown, call: 'after' | 'waitUntil' = 'after') {
    const name = typeof task === 'string' ? task : memberOf(task, 'name')
    super(
      'ERR_NO_REQUEST',
      call === 'waitUntil'
        ? 'waitUntil() was called outside of a request: no runtime is known that would wait. Use runtime.waitUntil(); within a request put the middleware of afterResponse() before what calls waitUntil().'
        : `after(${typeof name === 'string' ? `"${name}"` : ''}) was called outside of a request: there is no response to wait for. Use runtime.enqueue(), which starts the job at once; within a request use req.after(), or put the middleware of afterResponse() before what calls after().`,
    )
  }
}

/**
 * Thrown by an adapter whose framework has no Node response for a request, as in `app.request()` of Hono: there is nothing
 * whose end a job could wait for.
 */
export class NoResponseError extends AftertaskError {
  constructor(adapter: string, options: ErrorDetails = {}) {
    super(
      'ERR_NO_RESPONSE',
      `${asText(adapter)}: this request has no response of Node, so there is no end of a response that jobs could wait for.`,
      options,
    )
  }
}

/** The first findings of a schema, as one sentence. */
function inWords(issues: readonly PayloadIssue[]): string {
  const all = asList(issues)
  const list = all.slice(0, 5).map((issue) => {
    const path = asList(memberOf(issue, 'path') as PayloadIssue['path'])
    return `${path.length > 0 ? `${path.map(asText).join('.')}: ` : ''}${asText(memberOf(issue, 'message'))}`
  })
  return `${list.join('; ')}${all.length > 5 ? ` (and ${all.length - 5} more)` : ''}`
}
