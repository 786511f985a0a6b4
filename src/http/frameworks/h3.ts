/** aftertask/h3: jobs after the response, for h3 2 on Node, and a plugin for Nitro 3. */
// Loads the types of Node where `tsc --init` has set `types: []`.
/// <reference types="node" preserve="true" />
import type { H3, H3Event, Middleware } from 'h3'
import type { AnyRuntime, Runtime } from '../../engine/runtime.ts'
import type { RuntimeOptions, TaskList, TasksIn } from '../../engine/runtime-options.ts'
import type { AnyTask } from '../../rules/task.ts'
import { NoResponseError, OptionsInvalidError } from '../../words/errors.ts'
import { type AfterResponseOptions, openFor, readPolicy, runtimeOf } from '../after-response.ts'
import type { After, TryAfter } from '../req-after.ts'
import type { AnyRequest, AnyResponse } from '../response-end.ts'
import { type Told, throughChain } from './onion.ts'
import { readStopTimeout } from './own-stop.ts'

export type { AfterResponseOptions } from '../after-response.ts'
export { failed } from '../after-response.ts'
export type { After, TryAfter } from '../req-after.ts'

declare module 'h3' {
  interface H3EventContext {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}

/** The middleware that `afterResponse` returns. */
export interface H3AfterResponse<Tasks extends AnyTask = AnyTask> extends Middleware {
  /** The runtime that takes the jobs: the one given, or the one made from the options given. */
  readonly runtime: Runtime<Tasks>
}

/** What a Nitro app gives its plugins, as far as `nitroPlugin` needs it. */
export interface NitroAppLike {
  readonly h3?: Pick<H3, 'use'> | undefined
  /** What Nitro 3.0.0 has in place of `h3`. It asks it for the middlewares of each request, and knows no `use`. */
  readonly _h3?: { _getMiddleware?: (...args: never[]) => Middleware[] } | undefined
  readonly hooks: { hook(name: 'close', callback: () => void | Promise<void>): unknown }
}

/** What `nitroPlugin` takes besides the options of `afterResponse`. */
export interface NitroPluginOptions extends AfterResponseOptions {
  /** Milliseconds that jobs get to finish when Nitro closes, or false to leave the runtime running. Default 10,000. */
  stopTimeout?: number | false
}

/**
 * Gives every event `event.context.after` and `event.context.tryAfter`: jobs that start once the response is over. Takes a
 * runtime, or the options of one, which it then makes: `middleware.runtime`.
 *
 * What handlers throw or return as an error is noticed, whatever the status of the answer, and so is the status before Node's
 * response has it. A route that is not there is an answer like any other.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function afterResponse<Tasks extends AnyTask>(
  runtime: Runtime<Tasks>,
  options?: AfterResponseOptions,
): H3AfterResponse<Tasks>
export function afterResponse<const Tasks extends TaskList>(
  runtimeOptions: RuntimeOptions<Tasks>,
  options?: AfterResponseOptions,
): H3AfterResponse<TasksIn<Tasks>>
export function afterResponse(
  given: AnyRuntime | RuntimeOptions,
  options: AfterResponseOptions = {},
): H3AfterResponse {
  const runtime = runtimeOf(given)
  const policy = readPolicy(runtime, options)
  const middleware: Middleware = function aftertask(event, next) {
    const { req, res } = rawPairOf(event)
    const request = openFor(policy, req, res)
    event.context.after = request.after
    event.context.tryAfter = request.tryAfter
    return throughChain(
      request,
      async () => next(),
      (value) => told(event, value),
    )
  }
  return Object.assign(middleware, { runtime })
}

/**
 * A plugin for Nitro 3: every event has `event.context.after`, and the runtime stops when Nitro closes. Write
 * `export default definePlugin(nitroPlugin(runtime))` in `server/plugins`.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function nitroPlugin(
  runtime: AnyRuntime | RuntimeOptions,
  { stopTimeout: asked, ...options }: NitroPluginOptions = {},
): (nitroApp: NitroAppLike) => void {
  const middleware = afterResponse(runtime as AnyRuntime, options)
  const stopTimeout = readStopTimeout('nitroPlugin', asked)
  return ({ h3, _h3, hooks }) => {
    if (h3 === undefined) putFirst(middleware, _h3)
    h3?.use(middleware)
    if (stopTimeout === false) return
    hooks.hook('close', async () => {
      await middleware.runtime.stop({ timeout: stopTimeout })
    })
  }
}

/** As `use`, for Nitro 3.0.0. */
function putFirst(middleware: Middleware, h3: NitroAppLike['_h3']): void {
  const others = h3?._getMiddleware
  if (h3 === undefined || others === undefined) {
    throw new OptionsInvalidError(
      'nitroPlugin: this app of Nitro has no h3, so its requests cannot be given `after`. Expected Nitro 3.0.0 or newer.',
      'nitroApp',
    )
  }
  h3._getMiddleware = (...args) => [middleware, ...Reflect.apply(others, h3, args)]
}

/** What h3 will answer: a handler may return an error as well as throw it, and a whole response as well as a body. */
function told(event: H3Event, value: unknown): Told {
  if (value instanceof Error) return { error: value }
  if (value instanceof Response) return { status: value.status }
  return { status: event.res.status }
}

/** Node's request and response, as h3 has them when it serves on Node. */
function rawPairOf(event: H3Event): { req: AnyRequest; res: AnyResponse } {
  const node = event.runtime?.node
  if (node?.req !== undefined && node.res !== undefined) {
    return { req: node.req as AnyRequest, res: node.res as AnyResponse }
  }
  throw new NoResponseError('aftertask/h3', {
    advice:
      'Serve the app on Node, with serve(app) or toNodeHandler(app). In a test, serve it on port 0 instead of app.request() or app.fetch().',
  })
}
