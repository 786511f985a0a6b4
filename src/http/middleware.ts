/** The middleware that gives every request `req.after`, whatever the framework. */
import { z } from 'zod'
import { type AnyRuntime, createRuntime, Runtime, type RuntimeOptions } from '../engine/runtime.ts'
import { isA, isRecord, isSynchronous, readSafely, refusal } from '../rules/arguments.ts'
import { readOptions } from '../rules/options.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { AnyTask } from '../rules/task.ts'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { enter, within } from './context.ts'
import { OpenResponse } from './open-response.ts'
import { type BatchPolicy, RequestJobs } from './req-after.ts'
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

/** The runtime given, or one made from the options given. */
export function runtimeOf(given: AnyRuntime | RuntimeOptions): AnyRuntime {
  refuseInThread('afterResponse')
  if (isA(given, Runtime)) return given
  if (readSafely('afterResponse', 'the options', () => isRecord(given) && Object.hasOwn(given, 'tasks')))
    return createRuntime(given)
  throw new OptionsInvalidError(
    `afterResponse: expected a runtime, or the options of one ({ tasks }), got ${describeValue(given)}. Call app.use(afterResponse(runtime)).`,
    'runtime',
  )
}

/** Checks what an `afterResponse` was given. */
export function readPolicy(runtime: AnyRuntime, options: AfterResponseOptions): BatchPolicy {
  const { order, onFailure, baggage } = readOptions(optionsSchema, options, 'afterResponse')
  return { runtime, order, onFailure, baggage }
}

/** What the request adds to this runtime; made, and put on the request, by the first middleware of the runtime that it meets. */
export function openRequest(policy: BatchPolicy, req: AnyRequest, res: AnyResponse): RequestJobs {
  if (!isResponse(res) || typeof req !== 'object' || req === null) {
    throw new OptionsInvalidError(
      `The middleware of afterResponse was called with ${describeValue(req)} and ${describeValue(res)}; expected (req, res, next).`,
      'res',
    )
  }
  const jobs = RequestJobs.of(req, res, policy)
  req.after = ((task: string | AnyTask, payload?: unknown, options?: object) =>
    jobs.add(task, payload, options)) as typeof req.after
  req.tryAfter = ((task: string | AnyTask, payload?: unknown, options?: object) =>
    jobs.tryAdd(task, payload, options)) as typeof req.tryAfter
  scopeEvents(req, res, jobs)
  return jobs
}

/**
 * Goes on to the rest of the chain, and notes when it is over and what it throws. Where the framework keeps errors to
 * itself, nothing comes back and there is nothing to look for: one promise less for every request.
 */
export function goOn<Result>(jobs: RequestJobs, next: () => Result, keepsErrors = false): Result {
  if (typeof next !== 'function') {
    const remedy = 'Leave it out where there is no chain to go on with.'
    throw refusal('The middleware of afterResponse', 'the argument next', next, 'a function', remedy)
  }
  try {
    const result = within(jobs, next)
    if (!(result instanceof Promise)) return result
    jobs.response.follow(result)
    return keepsErrors ? result : (noted(jobs, result) as Result)
  } catch (error) {
    jobs.response.notice(error)
    throw error
  }
}

// The promise handed on is the one made here: a rejection that nobody handles is still reported, and one that somebody
// handles is not.
function noted(jobs: RequestJobs, result: Promise<unknown>): Promise<unknown> {
  return result.catch((error: unknown) => {
    jobs.response.notice(error)
    throw error
  })
}

/** For a middleware that was called without a `next`. */
export function stay(jobs: RequestJobs): void {
  enter(jobs)
}

/**
 * Tells that an error reached the error handler of the framework: jobs with `when: 'ok'` are skipped whatever the status
 * of the answer, those with `when: 'error'` run. Call it in an error handler that answers with a status below 500;
 * a status of 500 and above is noticed without it. After the response is over it has no effect.
 *
 * @throws OptionsInvalidError when what is given first is no response.
 */
export function failed(res: AnyResponse, error: unknown): void {
  if (!isResponse(res)) {
    throw new OptionsInvalidError(
      `failed: the response is ${describeValue(res)}; expected failed(res, error).`,
      'res',
    )
  }
  OpenResponse.of(res)?.fail(error)
}

/** Checks what `onError` was given; undefined stands for what the framework does by itself. */
export function readErrorHandler<Handler>(handler: Handler | undefined, otherwise: Handler): Handler {
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
    const { end, statusCode } = res as { end?: unknown; statusCode?: unknown }
    return typeof end === 'function' && typeof statusCode === 'number'
  } catch {
    return false
  }
}
