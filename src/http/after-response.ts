/**
 * `afterResponse`, whatever the framework. What differs is behind two seams: `FrameworkAdapter` for middlewares of
 * `(req, res, next)`, and `openRequest` for everything else.
 */
import { types } from 'node:util'
import { z } from 'zod'
import { type AnyRuntime, createRuntime, isRuntime, type Runtime } from '../engine/runtime.ts'
import type { RuntimeOptions } from '../engine/runtime-options.ts'
import { isRecord, isSynchronous, readSafely, refusal } from '../rules/arguments.ts'
import { readOptions } from '../rules/options.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { AnyTask } from '../rules/task.ts'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { type BatchPolicy, OpenRequest } from './open-request.ts'
import { OpenResponse } from './open-response.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'
import { scopeEvents } from './scoped-events.ts'
import type { ReadBaggage } from './travelling-context.ts'

/** What `afterResponse` takes besides the runtime. */
export interface AfterResponseOptions {
  /**
   * `sequential` (the default): the jobs of a request run in the order added, one after the other. `parallel`: they need not.
   * A call can say otherwise for its own job.
   */
  order?: 'sequential' | 'parallel'
  /** What a failed job means for those after it in its batch: `continue` (the default) runs them, `stop` skips them. */
  onFailure?: 'continue' | 'stop'
  /** Small strings that travel with the jobs of a request, as `ctx.baggage`; read once, with the request's first job. */
  // A method, so that a function of one framework's own request fits.
  baggage?(req: AnyRequest): ReturnType<ReadBaggage>
}

/** The middleware that `afterResponse` returns. */
export interface AfterResponse<Tasks extends AnyTask = AnyTask, Handler = unknown> {
  /** Gives the request `after` and `tryAfter`, and goes on to `next`, whose result it returns. */
  <Result = void>(req: AnyRequest, res: AnyResponse, next?: (error?: never) => Result): Result
  /** The runtime that takes the jobs: the one given, or the one made from the options given. */
  readonly runtime: Runtime<Tasks>
  /** Makes an error handler of this framework that notes the error before it does what it does: see each framework. */
  onError(handler?: Handler): Handler
  onError<Own extends (error: never, req: never, res: never, next: never) => unknown>(handler: Own): Own
}

const optionsSchema = z.strictObject({
  order: z
    .enum(['sequential', 'parallel'], { error: "expected 'sequential' or 'parallel'" })
    .default('sequential')
    .describe('How the jobs of one request relate: one after the other in the order added, or side by side.'),
  onFailure: z
    .enum(['continue', 'stop'], { error: "expected 'continue' or 'stop'" })
    .default('continue')
    .describe('What a failed job means for those after it in its batch: they run, or they are skipped.'),
  baggage: z
    .custom<ReadBaggage>(isSynchronous, 'expected a function of the request that is not asynchronous')
    .optional()
    .describe('Reads small strings from a request that travel with its jobs, as `ctx.baggage`.'),
})

/** The runtime given, or one made from the options given. `remedy`: how the adapter's caller is to write it. */
export function runtimeOf(
  given: AnyRuntime | RuntimeOptions,
  what = 'afterResponse',
  remedy = 'Call app.use(afterResponse(runtime)).',
): AnyRuntime {
  refuseInThread(what)
  if (isRuntime(given)) return given
  if (readSafely(what, 'the options', () => isRecord(given) && Object.hasOwn(given, 'tasks')))
    return createRuntime(given)
  throw new OptionsInvalidError(
    `${what}: expected a runtime, or the options of one ({ tasks }), got ${describeValue(given)}. ${remedy}`,
    'runtime',
  )
}

/** Checks what an `afterResponse` was given. */
export function readPolicy(
  runtime: AnyRuntime,
  options: AfterResponseOptions,
  what = 'afterResponse',
): BatchPolicy {
  const { order, onFailure, baggage } = readOptions(optionsSchema, options, what)
  return { runtime, order, onFailure, baggage }
}

/**
 * The request in the hands of an adapter: made at its first meeting with a runtime, joined at each further one. From then on
 * events of the request and of its response are within it.
 */
export function openFor(policy: BatchPolicy, req: AnyRequest, res: AnyResponse): OpenRequest {
  if (!(isResponse(res) && isRequest(req))) {
    throw new OptionsInvalidError(
      `The middleware of afterResponse was called with ${describeValue(req)} and ${describeValue(res)}; expected (req, res, next).`,
      'res',
    )
  }
  const request = OpenRequest.of(req, res, policy)
  scopeEvents(req, res, request)
  return request
}

/** What one framework does in its own way. */
export interface FrameworkAdapter<Handler extends ErrorHandler> {
  /** What the framework does with an error when the app has no handler of its own. */
  readonly answer: Handler
  /** Called before the rest of the chain, with the `this` of the middleware, for a framework whose errors have to be looked for. */
  beforeNext?(self: unknown, middleware: unknown): void
  /** True when the framework takes errors to its handler by itself, and nothing of them comes back through `next()`. */
  keepsErrors?(req: AnyRequest): boolean
  /** False for what reaches the error handler and is none, such as a route that is not there. */
  isFailure?(error: unknown): boolean
}

/** An error handler as Express and Polka take it. */
type ErrorHandler = (error: never, req: never, res: never, next: never) => unknown

/** Makes the `afterResponse` of a framework whose middlewares take `(req, res, next)`. */
export function makeAfterResponse<Handler extends ErrorHandler>(
  adapter: FrameworkAdapter<Handler>,
  given: AnyRuntime | RuntimeOptions,
  options: AfterResponseOptions,
): AfterResponse<AnyTask, Handler> {
  const runtime = runtimeOf(given)
  const policy = readPolicy(runtime, options)
  const middleware = function aftertask(
    this: unknown,
    req: AnyRequest,
    res: AnyResponse,
    next?: () => unknown,
  ): unknown {
    const request = openFor(policy, req, res)
    req.after = request.after
    req.tryAfter = request.tryAfter
    if (next === undefined) return request.enter()
    adapter.beforeNext?.(this, middleware)
    return goOn(request, next, adapter.keepsErrors?.(req) === true)
  }
  const onError = (own?: Handler): ErrorHandler => {
    const handler = readErrorHandler(own, adapter.answer)
    // Express knows an error handler by its four arguments.
    return (error: unknown, req: AnyRequest, res: AnyResponse, next: unknown): unknown => {
      if (!isResponse(res)) throw noResponse('onError', res)
      if (!res.writableEnded && adapter.isFailure?.(error) !== false) failed(res, error)
      return Reflect.apply(handler, undefined, [error, req, res, next])
    }
  }
  return Object.assign(middleware, { runtime, onError }) as AfterResponse<AnyTask, Handler>
}

/**
 * Goes on to the rest of the chain, and notes when it is over and what it throws. Where the framework keeps errors to
 * itself, nothing comes back and there is nothing to look for: one promise less for every request.
 */
function goOn<Result>(request: OpenRequest, next: () => Result, keepsErrors: boolean): Result {
  if (typeof next !== 'function') {
    const remedy = 'Leave it out where there is no chain to go on with.'
    throw refusal('The middleware of afterResponse', 'the argument next', next, 'a function', remedy)
  }
  try {
    const result = request.run(next)
    if (!types.isPromise(result)) return result
    request.follow(result)
    return keepsErrors ? result : (noted(request, result) as Result)
  } catch (error) {
    request.fail(error)
    throw error
  }
}

// The promise handed on is the one made here: a rejection that nobody handles is still reported, and one that somebody
// handles is not.
function noted(request: OpenRequest, result: Promise<unknown>): Promise<unknown> {
  return result.catch((error: unknown) => {
    request.fail(error)
    throw error
  })
}

/**
 * Tells that an error reached the error handler of the framework: jobs with `when: 'ok'` are skipped whatever the status
 * of the answer, those with `when: 'error'` run. Call it in an error handler that answers with a status below 500;
 * a status of 500 and above is noticed without it. After the response is over it has no effect.
 *
 * @throws OptionsInvalidError when what is given first is no response.
 */
export function failed(res: AnyResponse, error: unknown): void {
  if (!isResponse(res)) throw noResponse('failed', res)
  OpenResponse.of(res)?.fail(error)
}

/** Checks what `onError` was given; undefined stands for what the framework does by itself. */
function readErrorHandler<Handler>(handler: Handler | undefined, otherwise: Handler): Handler {
  if (handler === undefined) return otherwise
  if (typeof handler === 'function') return handler
  throw new OptionsInvalidError(
    `onError: the error handler is ${describeValue(handler)}; expected a function, or nothing.`,
    'handler',
  )
}

function isResponse(res: unknown): res is AnyResponse {
  if (typeof res !== 'object' || res === null) return false
  try {
    const { end, on, statusCode } = res as { end?: unknown; on?: unknown; statusCode?: unknown }
    return typeof end === 'function' && typeof on === 'function' && typeof statusCode === 'number'
  } catch {
    return false
  }
}

function isRequest(req: unknown): req is AnyRequest {
  if (typeof req !== 'object' || req === null) return false
  try {
    return typeof (req as { on?: unknown }).on === 'function'
  } catch {
    return false
  }
}

function noResponse(call: string, res: unknown): OptionsInvalidError {
  const expected = call === 'failed' ? 'failed(res, error)' : '(error, req, res, next)'
  return new OptionsInvalidError(
    `${call}: the response is ${describeValue(res)}; expected ${expected}.`,
    'res',
  )
}
