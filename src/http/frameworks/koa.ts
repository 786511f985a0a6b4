/** aftertask/koa: jobs after the response, for Koa 3. */
// Loads the types of Node where `tsc --init` has set `types: []`.
/// <reference types="node" preserve="true" />
import type { Middleware } from 'koa'
import type { AnyRuntime, Runtime } from '../../engine/runtime.ts'
import type { RuntimeOptions, TaskList, TasksIn } from '../../engine/runtime-options.ts'
import type { AnyTask } from '../../rules/task.ts'
import { type AfterResponseOptions, openFor, readPolicy, runtimeOf } from '../after-response.ts'
import type { After, TryAfter } from '../req-after.ts'
import { throughChain } from './onion.ts'

export type { AfterResponseOptions } from '../after-response.ts'
export { failed } from '../after-response.ts'
export type { After, TryAfter } from '../req-after.ts'

declare module 'koa' {
  interface DefaultContext {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}

/** The middleware that `afterResponse` returns. */
export interface KoaAfterResponse<Tasks extends AnyTask = AnyTask> extends Middleware {
  /** The runtime that takes the jobs: the one given, or the one made from the options given. */
  readonly runtime: Runtime<Tasks>
}

/**
 * Gives every context `ctx.after` and `ctx.tryAfter`: jobs that start once the response is over. Takes a runtime, or the options
 * of one, which it then makes: `middleware.runtime`.
 *
 * An error that comes through `next()` is noticed, whatever the status of the answer. Use the middleware behind an error
 * middleware of your own: in front of it, the error has been caught already, and the status alone tells.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function afterResponse<Tasks extends AnyTask>(
  runtime: Runtime<Tasks>,
  options?: AfterResponseOptions,
): KoaAfterResponse<Tasks>
export function afterResponse<const Tasks extends TaskList>(
  runtimeOptions: RuntimeOptions<Tasks>,
  options?: AfterResponseOptions,
): KoaAfterResponse<TasksIn<Tasks>>
export function afterResponse(
  given: AnyRuntime | RuntimeOptions,
  options: AfterResponseOptions = {},
): KoaAfterResponse {
  const runtime = runtimeOf(given)
  const policy = readPolicy(runtime, options)
  const middleware: Middleware = function aftertask(ctx, next) {
    const request = openFor(policy, ctx.req, ctx.res)
    ctx.after = request.after
    ctx.tryAfter = request.tryAfter
    return throughChain(request, next, () => ({ status: ctx.status }))
  }
  return Object.assign(middleware, { runtime })
}
