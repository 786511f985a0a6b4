/** aftertask/http: jobs after the response, for any server whose handlers take `(req, res, next)`. */
// Loads the types of Node where `tsc --init` has set `types: []`: `req.after` is declared on its requests.
/// <reference types="node" preserve="true" />
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnyRuntime, Runtime, RuntimeOptions, TaskList, TasksIn } from '../engine/runtime.ts'
import type { AnyTask } from '../rules/task.ts'
import {
  type AfterResponse,
  type AfterResponseOptions,
  failed,
  goOn,
  openRequest,
  readErrorHandler,
  readPolicy,
  runtimeOf,
  stay,
} from './middleware.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'

export type { AfterResponse, AfterResponseOptions } from './middleware.ts'
export { failed } from './middleware.ts'
export type { After, TryAfter } from './req-after.ts'
export type { AnyRequest, AnyResponse, Outcome } from './response-end.ts'
export type { ReadBaggage } from './travelling-context.ts'

/** An error handler as Express takes it: a middleware of four arguments. */
export type ErrorMiddleware = (
  error: unknown,
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => unknown,
) => void | Promise<void>

/**
 * Gives every request `req.after` and `req.tryAfter`: jobs that start once the response is over. For Express, for
 * `node:http` and `node:http2` without a framework, and for anything else with handlers of `(req, res, next)`.
 * Takes a runtime, or the options of one, which it then makes: `middleware.runtime`.
 *
 * An error that `next()` throws or rejects with is noticed. Express keeps its errors to itself: put
 * `app.use(middleware.onError())` behind the routes, so that a request that failed counts as failed whatever its status.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function afterResponse<Tasks extends AnyTask>(
  runtime: Runtime<Tasks>,
  options?: AfterResponseOptions,
): AfterResponse<Tasks, ErrorMiddleware>
export function afterResponse<const Tasks extends TaskList>(
  runtimeOptions: RuntimeOptions<Tasks>,
  options?: AfterResponseOptions,
): AfterResponse<TasksIn<Tasks>, ErrorMiddleware>
export function afterResponse(
  given: AnyRuntime | RuntimeOptions,
  options: AfterResponseOptions = {},
): AfterResponse<AnyTask, ErrorMiddleware> {
  const runtime = runtimeOf(given)
  const policy = readPolicy(runtime, options)
  const middleware = (req: AnyRequest, res: AnyResponse, next?: () => unknown): unknown => {
    const jobs = openRequest(policy, req, res)
    return next === undefined ? stay(jobs) : goOn(jobs, next)
  }
  const onError = (own?: ErrorMiddleware): ErrorMiddleware => {
    const handler = readErrorHandler(own, passOn)
    // Express knows an error handler by its four arguments.
    return (error, req, res, next) => {
      noteFailure(res, error)
      return handler(error, req, res, next)
    }
  }
  return Object.assign(middleware, { runtime, onError }) as AfterResponse<AnyTask, ErrorMiddleware>
}

const passOn: ErrorMiddleware = (error, _req, _res, next) => {
  next(error)
}

function noteFailure(res: AnyResponse, error: unknown): void {
  if (!res.writableEnded) failed(res, error)
}
