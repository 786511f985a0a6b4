/** aftertask/polka: jobs after the response, for Polka 1.0 (and 0.5). */
// Loads the types of Node where `tsc --init` has set `types: []`: `req.after` is declared on its requests.
/// <reference types="node" preserve="true" />
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnyRuntime, Runtime } from '../engine/runtime.ts'
import type { RuntimeOptions, TaskList, TasksIn } from '../engine/runtime-options.ts'
import { isA, isRecord } from '../rules/arguments.ts'
import type { AnyTask } from '../rules/task.ts'
import { type AfterResponse, type AfterResponseOptions, makeAfterResponse } from './after-response.ts'
import { answer } from './polka-answer.ts'
import { HandlerWatch, keepsErrors } from './polka-handlers.ts'

export type { AfterResponse, AfterResponseOptions } from './after-response.ts'
export { failed } from './after-response.ts'
export type { After, TryAfter } from './req-after.ts'
export type { AnyRequest, AnyResponse, Outcome } from './response-end.ts'
export type { ReadBaggage } from './travelling-context.ts'

/** The `onError` of a Polka app. */
export type PolkaErrorHandler = (
  error: unknown,
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: string | Error) => unknown,
) => void | Promise<void>

/**
 * Gives every request `req.after` and `req.tryAfter`: jobs that start once the response is over. Use it before the
 * routes; a sub-app that is mounted behind it shares the request's jobs and may use it again. Takes a runtime, or the
 * options of one, which it then makes: `middleware.runtime`.
 *
 * Errors of the handlers behind it are noticed. Those of a mounted sub-app go to the sub-app's own `onError`: use the
 * middleware in the sub-app as well, or give it `onError: middleware.onError()`.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function afterResponse<Tasks extends AnyTask>(
  runtime: Runtime<Tasks>,
  options?: AfterResponseOptions,
): AfterResponse<Tasks, PolkaErrorHandler>
export function afterResponse<const Tasks extends TaskList>(
  runtimeOptions: RuntimeOptions<Tasks>,
  options?: AfterResponseOptions,
): AfterResponse<TasksIn<Tasks>, PolkaErrorHandler>
export function afterResponse(
  given: AnyRuntime | RuntimeOptions,
  options: AfterResponseOptions = {},
): AfterResponse<AnyTask, PolkaErrorHandler> {
  const watch = new HandlerWatch()
  const beforeNext = (handlers: unknown, middleware: unknown): void => watch.replace(handlers, middleware)
  const isFailure = (error: unknown): boolean => !isNoMatch(error)
  return makeAfterResponse<PolkaErrorHandler>({ answer, beforeNext, keepsErrors, isFailure }, given, options)
}

/** Polka tells its onError of a request that fits no route in the shape of an error. It is an answer like any other. */
function isNoMatch(error: unknown): boolean {
  if (!isRecord(error) || isA(error, Error)) return false
  try {
    const { status, code } = error
    return Object.keys(error).length === 1 && (status === 404 || code === 404)
  } catch {
    return false
  }
}
