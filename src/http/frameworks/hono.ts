/** aftertask/hono: jobs after the response, for Hono 4 on Node (`@hono/node-server` 2). */
// Loads the types of Node where `tsc --init` has set `types: []`.
/// <reference types="node" preserve="true" />
import type { Context, MiddlewareHandler } from 'hono'
import type { AnyRuntime, Runtime } from '../../engine/runtime.ts'
import type { RuntimeOptions, TaskList, TasksIn } from '../../engine/runtime-options.ts'
import { isRecord } from '../../rules/arguments.ts'
import type { AnyTask } from '../../rules/task.ts'
import { AftertaskError, NoResponseError } from '../../words/errors.ts'
import { type AfterResponseOptions, openFor, readPolicy, runtimeOf } from '../after-response.ts'
import type { OpenRequest } from '../open-request.ts'
import type { After, TryAfter } from '../req-after.ts'
import type { AnyRequest, AnyResponse } from '../response-end.ts'
import { throughChain } from './onion.ts'

export type { AfterResponseOptions } from '../after-response.ts'
export { failed } from '../after-response.ts'
export type { After, TryAfter } from '../req-after.ts'

declare module 'hono' {
  interface ContextVariableMap {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}

/** The middleware that `afterResponse` returns. */
export interface HonoAfterResponse<Tasks extends AnyTask = AnyTask> extends MiddlewareHandler {
  /** The runtime that takes the jobs: the one given, or the one made from the options given. */
  readonly runtime: Runtime<Tasks>
}

/**
 * Gives every context `c.var.after` and `c.var.tryAfter`: jobs that start once the response is over. Takes a runtime, or the
 * options of one, which it then makes: `middleware.runtime`.
 *
 * What handlers throw is noticed, whatever `app.onError` answers with, and so is the status before Node's response has it.
 * A job that is refused and not caught is answered with the status of its error: 400 for a bad payload, 503 for a full queue.
 * Node's request and response come from `@hono/node-server`; without them, as in `app.request()`, a request that reaches
 * the middleware fails with ERR_NO_RESPONSE.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function afterResponse<Tasks extends AnyTask>(
  runtime: Runtime<Tasks>,
  options?: AfterResponseOptions,
): HonoAfterResponse<Tasks>
export function afterResponse<const Tasks extends TaskList>(
  runtimeOptions: RuntimeOptions<Tasks>,
  options?: AfterResponseOptions,
): HonoAfterResponse<TasksIn<Tasks>>
export function afterResponse(
  given: AnyRuntime | RuntimeOptions,
  options: AfterResponseOptions = {},
): HonoAfterResponse {
  const runtime = runtimeOf(given)
  const policy = readPolicy(runtime, options)
  const middleware: MiddlewareHandler = function aftertask(c, next) {
    const { incoming, outgoing } = rawPairOf(c)
    const request = openFor(policy, incoming, outgoing)
    c.set('after', answerable(request.after))
    c.set('tryAfter', answerable(request.tryAfter))
    offerExecutionContext(c, runtime)
    return throughChain(request, next, () => told(c))
  }
  return Object.assign(middleware, { runtime })
}

/** `c.executionCtx.waitUntil(promise)`, which portable code calls and Node does not have: a stop of the runtime waits for it. */
function offerExecutionContext(c: Context, runtime: AnyRuntime): void {
  // Looked for at the first use: where the server has none, Hono's own throws, and most requests never ask.
  Object.defineProperty(c, 'executionCtx', { get: () => executionContextOf(c, runtime), configurable: true })
}

function executionContextOf(c: Context, runtime: AnyRuntime): object {
  try {
    return Reflect.get(Object.getPrototypeOf(c) as object, 'executionCtx', c) as object
  } catch {
    const waitUntil = (promise: Promise<unknown>): void => runtime.waitUntil(promise, { name: c.req.path })
    return { waitUntil, passThroughOnException: () => {}, props: {} }
  }
}

/** What Hono knows once the chain is over: it takes errors to `onError` itself, and `next()` resolves. */
function told(c: Context): { error: unknown; status: number } {
  return { error: c.error, status: c.res.status }
}

/** Node's request and response, as `@hono/node-server` hands them to the app. */
function rawPairOf(c: Context): { incoming: AnyRequest; outgoing: AnyResponse } {
  const env: unknown = c.env
  if (isRecord(env) && isObject(env['incoming']) && isObject(env['outgoing'])) {
    return { incoming: env['incoming'] as AnyRequest, outgoing: env['outgoing'] as AnyResponse }
  }
  throw new NoResponseError('aftertask/hono', {
    advice:
      "Serve the app with serve() of @hono/node-server, and hand c.env on when you call app.fetch() yourself. In a test, serve the app on port 0 instead of app.request(), or use testClient's env with { incoming, outgoing }.",
  })
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

/** Lets Hono's own error handler answer a refusal with its status: it asks an error for the response to give. */
function answerable<Add extends OpenRequest['after'] | OpenRequest['tryAfter']>(add: Add): Add {
  return ((...given: Parameters<Add>) => {
    try {
      return Reflect.apply(add, undefined, given)
    } catch (error) {
      if (error instanceof AftertaskError && error.status !== undefined && !('getResponse' in error)) {
        const { message, status } = error
        Object.defineProperty(error, 'getResponse', { value: () => new Response(message, { status }) })
      }
      throw error
    }
  }) as Add
}
