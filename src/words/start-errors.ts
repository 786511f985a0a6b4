/** Why a runtime cannot start, or not here: its handlers, its threads, the versions it needs. */
import { AftertaskError, isError, readDetails } from './aftertask-error.ts'
import { asList, asText, memberOf } from './describe.ts'

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

/** This Node is too old for aftertask: thrown where it is imported. */
export class NodeVersionError extends AftertaskError {
  constructor(version: string) {
    super('ERR_NODE_VERSION', `aftertask needs Node 22.18 or newer; this is ${asText(version)}.`)
  }
}

/** The control socket cannot be opened, or nobody answers there: another process has it, or its folder is not the user's own. */
export class ControlUnavailableError extends AftertaskError {
  /** The socket, or the folder that is at fault. */
  readonly place: string

  constructor(place: string, message: string, options: { cause?: unknown } = {}) {
    super('ERR_CONTROL_UNAVAILABLE', message, readDetails(options))
    this.place = asText(place)
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
