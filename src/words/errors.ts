/**
 * Every error that aftertask throws or rejects with: one base class, one subclass and one stable code each.
 * It imports no more than words, so a handler can take `UnrecoverableError` from `aftertask/errors`
 * without loading the engine into its thread.
 */
// long because: it is one list, a class and a code for everything that can go wrong
import { asList, asText, describeValue, memberOf } from './describe.ts'

export { describeValue } from './describe.ts'

/** What an error carries besides its code and its message. */
export interface ErrorDetails {
  /** The HTTP status that fits. */
  readonly status?: number
  /** What led to it. */
  readonly cause?: unknown
  /** What the author of the program can do about it. */
  readonly advice?: string
}

/** The base of every error of this library: catch it to tell our errors from your own. */
export class AftertaskError extends Error {
  /** A stable, upper-case code such as `ERR_QUEUE_FULL`. Match on this, never on the message. */
  readonly code: string
  // `declare`: errors without a status should not show an undefined one.
  /** The HTTP status that fits when this error reaches a client, when there is one. Polka, Express, Koa and h3 read it. */
  declare readonly status?: number
  /**
   * What the author of the program can do about it, in an error that a client may come to read: Polka answers with
   * `message`, which then says what happened and no more. Logs show both.
   */
  declare readonly advice?: string

  constructor(code: string, message: string, options: ErrorDetails = {}) {
    const read = readDetails(options)
    super(asText(message), 'cause' in read ? { cause: read.cause } : undefined)
    this.code = asText(code)
    if (read.status !== undefined) this.status = read.status
    if (read.advice !== undefined) this.advice = read.advice
  }

  /** The same as `status`, under the other name that frameworks look for. */
  get statusCode(): number | undefined {
    return this.status
  }

  /** True when a client may read the message: with a status below 500. Koa and NestJS ask, by the custom of `http-errors`. */
  get expose(): boolean | undefined {
    return this.status === undefined ? undefined : this.status < 500
  }

  // On the prototype, as the built-in errors have it: an own property would be printed twice by `inspect`.
  override get name(): string {
    return this.constructor.name
  }
}

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

/** Thrown at `req.after()` or `enqueue()` when `maxPending` jobs are unfinished: nothing was accepted. */
export class QueueFullError extends AftertaskError {
  /** Seconds after which a retry has a chance, estimated from the current rate; fits the `Retry-After` header. */
  readonly retryAfter: number

  constructor(pending: number, maxPending: number, retryAfter: number) {
    const jobs = pending === 1 ? '1 job is' : `${asText(pending)} jobs are`
    super('ERR_QUEUE_FULL', 'The queue is full. Try again later.', {
      status: 503,
      advice: `${jobs} unfinished and maxPending is ${asText(maxPending)}. Answer 503 with Retry-After: ${asText(retryAfter)}, use tryAfter(), or raise maxPending.`,
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

/** One handler that a thread could not find or load. */
export interface HandlerProblem {
  /** The task it belongs to. */
  readonly task: string
  /** The module as the task names it. */
  readonly module: string
  /** The export that was looked for. */
  readonly export: string
  /** What went wrong, as a sentence. */
  readonly message: string
  /** The exports that do exist, when the module could be loaded. */
  readonly exports: readonly string[]
  /** What its import threw, when it threw. */
  readonly cause?: unknown
}

/** `ready()` rejects with this when handlers are missing or cannot be loaded; the jobs of such a task fail with it too. */
export class HandlerNotFoundError extends AftertaskError {
  /** One entry for each handler at fault. */
  readonly problems: readonly HandlerProblem[]

  constructor(problems: readonly HandlerProblem[], options: { cause?: unknown } = {}) {
    const all = asList<HandlerProblem>(problems)
    const cause: unknown = readDetails(options).cause ?? soleCause(all)
    const lines = all.map((problem) => asText(memberOf(problem, 'message')))
    super(
      'ERR_HANDLER_NOT_FOUND',
      lines.length === 1
        ? (lines[0] ?? '')
        : `${lines.length} handlers cannot be run:\n- ${lines.join('\n- ')}`,
      cause === undefined ? {} : { cause },
    )
    this.problems = problems
  }
}

/** What the only handler at fault threw: of several, each problem has its own. */
function soleCause(problems: readonly HandlerProblem[]): unknown {
  return problems.length === 1 ? memberOf(problems[0], 'cause') : undefined
}

/** `ready()` rejects with this when the threads of a pool die while they start: a bad `execArgv`, for example. */
export class ThreadStartError extends AftertaskError {
  /** The pool whose threads do not start. */
  readonly pool: string

  /** `isFinal`: no further one is started. */
  constructor(pool: string, options: { cause?: unknown; isFinal?: boolean } = {}) {
    const { cause } = readDetails(options)
    const why = isError(cause) ? asText(memberOf(cause, 'message')) : undefined
    const isFinal = memberOf(options, 'isFinal') === true
    const what = isFinal ? 'cannot be started' : 'die while they start'
    const last = why === undefined ? '' : isFinal ? ` ${why}` : ` The last one: ${why}`
    super('ERR_THREAD_START', `The threads of pool "${asText(pool)}" ${what}.${last}`, options)
    this.pool = pool
  }
}

/**
 * Thrown in a worker thread of aftertask by what belongs to the server: `createRuntime`, `afterResponse`, `shutdown`, a
 * broker, or a `listen` while a handler's module is imported. The handler imports the server, mostly without meaning to.
 */
export class InsideThreadError extends AftertaskError {
  constructor(call: string, where: string) {
    super(
      'ERR_INSIDE_THREAD',
      `${asText(call)} was called in a worker thread of aftertask, ${asText(where)}. A handler must not import the module that makes the runtime or the server: import types with "import type", add jobs with ctx.enqueue(), and keep what both need in a module of its own.`,
    )
  }
}

/** The code that threads run is not where it should be, since a bundler has put aftertask into one file with the server. */
export class BundledError extends AftertaskError {
  constructor(what: string, options: { cause?: unknown } = {}) {
    super(
      'ERR_BUNDLED',
      `aftertask was bundled (${asText(what)}). Mark aftertask and piscina as external in your bundler, and install them beside the server.`,
      options,
    )
  }
}

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

/** `result()` rejects with this when the runtime stopped before a job in memory could finish. */
export class JobLostError extends AftertaskError {
  constructor(task: string) {
    super(
      'ERR_JOB_LOST',
      `The runtime stopped before "${asText(task)}" had finished, and its broker keeps nothing.`,
    )
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

/**
 * This process has lost its hold on a job while it ran it, since it could not be heard of for too long: another process
 * has the job, and what became of it here does not count. `code` of `ctx.signal.reason` in such an attempt is the same.
 */
export class LeaseLostError extends AftertaskError {
  constructor(task: string) {
    super('ERR_LEASE_LOST', `The lease of a job of "${asText(task)}" was lost: another process may have it.`)
  }
}

/**
 * The broker cannot take or keep jobs at present: the disk is full, the file is read-only, its thread or server is
 * gone. It recovers by itself where that is possible; meanwhile adding a job throws this, with `status` 503.
 */
export class BrokerUnavailableError extends AftertaskError {
  /** What is wrong, in one word: `full`, `read-only`, `io`, `thread`, `closed` and the like. */
  readonly reason: string

  constructor(reason: string, message: string, options: { cause?: unknown } = {}) {
    super('ERR_BROKER_UNAVAILABLE', message, { ...readDetails(options), status: 503 })
    this.reason = reason
  }
}

/** The journal's file belongs to another process that is alive. */
export class JournalLockedError extends AftertaskError {
  /** The process that has the file, when it can be told. */
  declare readonly pid?: number
  /** The machine that it runs on. */
  declare readonly host?: string

  constructor(message: string, owner?: { readonly pid: number; readonly host: string }) {
    super('ERR_JOURNAL_LOCKED', message)
    const [pid, host] = [memberOf(owner, 'pid'), memberOf(owner, 'host')]
    if (typeof pid === 'number' && typeof host === 'string') Object.assign(this, { pid, host })
  }
}

/** The journal's file was written by a newer release of aftertask, or by something else. */
export class JournalSchemaError extends AftertaskError {
  constructor(message: string) {
    super('ERR_JOURNAL_SCHEMA', message)
  }
}

/** The journal's file is damaged, or is no SQLite database. */
export class JournalCorruptError extends AftertaskError {
  constructor(message: string) {
    super('ERR_JOURNAL_CORRUPT', message)
  }
}

/** This Node is too old for aftertask: thrown where it is imported. */
export class NodeVersionError extends AftertaskError {
  constructor(version: string) {
    super('ERR_NODE_VERSION', `aftertask needs Node 22.18 or newer; this is ${asText(version)}.`)
  }
}

/** This Node comes with a SQLite that has a fault which can damage a journal. */
export class SqliteVersionError extends AftertaskError {
  constructor(message: string) {
    super('ERR_SQLITE_VERSION', message)
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

/** An optional package that a subpath needs is not installed. */
export class PeerMissingError extends AftertaskError {
  constructor(peer: string, subpath: string, options: { cause?: unknown } = {}) {
    super(
      'ERR_PEER_MISSING',
      `${asText(subpath)} needs the package "${asText(peer)}". Install it: npm install ${asText(peer)}`,
      options,
    )
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

/** The first findings of a schema, as one sentence. */
function inWords(issues: readonly PayloadIssue[]): string {
  const all = asList(issues)
  const list = all.slice(0, 5).map((issue) => {
    const path = asList(memberOf(issue, 'path') as PayloadIssue['path'])
    return `${path.length > 0 ? `${path.map(asText).join('.')}: ` : ''}${asText(memberOf(issue, 'message'))}`
  })
  return `${list.join('; ')}${all.length > 5 ? ` (and ${all.length - 5} more)` : ''}`
}

// Errors are made by callers too: whatever they are given, the error itself must come about.
function readDetails(options: unknown): ErrorDetails {
  const [cause, status, advice] = ['cause', 'status', 'advice'].map((key) => memberOf(options, key))
  return {
    ...(cause !== undefined && { cause }),
    ...(typeof status === 'number' && { status }),
    ...(typeof advice === 'string' && { advice }),
  }
}

/** True when an error, also one that came from a thread or another copy of this module, says that a retry is in vain. */
export function isUnrecoverable(error: unknown): boolean {
  if (!isError(error)) return false
  return memberOf(error, 'name') === 'UnrecoverableError' || memberOf(error, 'code') === 'ERR_UNRECOVERABLE'
}

function isError(value: unknown): boolean {
  try {
    return value instanceof Error
  } catch {
    return false
  }
}
