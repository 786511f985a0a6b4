/**
 * aftertask/adapter: what `afterResponse` of every framework stands on, for a framework that has none yet.
 *
 * An adapter opens each request, puts `after` where handlers of the framework look for it, and tells what it knows: an error
 * that reached the framework's error handler, a status that the response does not have yet, a handler that is at work.
 * When the response is over is noticed without its doing.
 */
import { type AnyRuntime, isRuntime } from '../engine/runtime.ts'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { type AfterResponseOptions, openFor, readPolicy } from './after-response.ts'
import type { BatchPolicy, OpenRequest } from './open-request.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'

export type { AfterResponseOptions } from './after-response.ts'
export type { OpenRequest } from './open-request.ts'
export type { After, TryAfter } from './req-after.ts'
export type { AnyRequest, AnyResponse, Outcome } from './response-end.ts'

const NO_OPTIONS: AfterResponseOptions = {}

// An adapter gives the same options for every request; they are read once.
const policies = new WeakMap<AnyRuntime, WeakMap<AfterResponseOptions, BatchPolicy>>()

/**
 * Opens a request of a server for the jobs of a runtime. Call it as early as the framework lets you, with Node's own request
 * and response, and run the rest of the request within `run`. Called again for the same request, it returns the same.
 * Give the same `options` object for each request of an app.
 *
 * @throws OptionsInvalidError when the runtime or the response is none, or an option is unknown or has a bad value.
 */
export function openRequest(
  runtime: AnyRuntime,
  req: AnyRequest,
  res: AnyResponse,
  options: AfterResponseOptions = NO_OPTIONS,
): OpenRequest {
  return openFor(policyOf(runtime, options), req, res)
}

function policyOf(runtime: AnyRuntime, options: AfterResponseOptions): BatchPolicy {
  if (!isRuntime(runtime)) {
    throw new OptionsInvalidError(
      `openRequest: the runtime is ${describeValue(runtime)}; expected what createRuntime returned.`,
      'runtime',
    )
  }
  // Not what a WeakMap could hold: reading it says what is wrong.
  if (typeof options !== 'object' || options === null) return readPolicy(runtime, options, 'openRequest')
  let ofRuntime = policies.get(runtime)
  if (ofRuntime === undefined) {
    ofRuntime = new WeakMap()
    policies.set(runtime, ofRuntime)
  }
  const known = ofRuntime.get(options)
  if (known !== undefined) return known
  const policy = readPolicy(runtime, options, 'openRequest')
  ofRuntime.set(options, policy)
  return policy
}
