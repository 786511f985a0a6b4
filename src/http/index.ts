/** aftertask/http: jobs after the response, for any server whose handlers take `(req, res, next)`. */
// Loads the types of Node where `tsc --init` has set `types: []`: `req.after` is declared on its requests.
/// <reference types="node" preserve="true" />
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnyRuntime, Runtime } from '../engine/runtime.ts'
import type { RuntimeOptions, TaskList, TasksIn } from '../engine/runtime-options.ts'
import type { AnyTask } from '../rules/task.ts'
import { type AfterResponse, type AfterResponseOptions, makeAfterResponse } from './after-response.ts'

export type { AfterResponse, AfterResponseOptions } from './after-response.ts'
export { failed } from './after-response.ts'
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
  return makeAfterResponse({ answer: passOn }, given, options)
}

const passOn: ErrorMiddleware = (error, _req, _res, next) => {
  next(error)
}
