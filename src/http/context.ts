/** `after` with no request at hand: the request is found through AsyncLocalStorage. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { WaitUntilOptions } from '../engine/awaited-promises.ts'
import type { Job } from '../engine/job.ts'
import type { AnyRuntime } from '../engine/runtime.ts'
import type { PayloadAndOptions, ResultOfCall, TaskOf } from '../rules/calls.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { RegisteredTask } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'
import { NoRequestError } from '../words/errors.ts'
import type { JobOptions } from '../words/job.ts'
import { ignoreRejection, isThenable } from '../words/thenables.ts'

/** What `after` finds: a request that is being handled. */
export interface Scope {
  /** Stands for the response: a request that meets several runtimes has one. */
  readonly response: object
  /** The runtime that was met last. */
  readonly runtime: AnyRuntime
  add(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job
}

const current = new AsyncLocalStorage<Scope>()

/**
 * Runs the rest of a request so that `after` finds it.
 *
 * `current.run(jobs, run)` would do, but it makes two copies of the map of all stores, one to set ours and one to set
 * what was there before. An AsyncResource remembers the map as it is and puts it back as it was, so that one copy is
 * enough: two thirds of the price, for something that most requests make no use of.
 */
export function within<Result>(scope: Scope, run: () => Result): Result {
  return new AsyncResource('aftertask.request').runInAsyncScope<undefined, Result>(
    enterAndRun,
    undefined,
    scope,
    run,
  )
}

function enterAndRun<Result>(scope: Scope, run: () => Result): Result {
  current.enterWith(scope)
  return run()
}

/** For a middleware that is called without a `next`: what follows in this call, and all that comes of it, is within. */
export function enter(scope: Scope): void {
  current.enterWith(scope)
}

/** True in the scope of a request, whichever of its runtimes was met last. */
export function isWithin(response: object): boolean {
  return current.getStore()?.response === response
}

/**
 * Lets the stop of the request's runtime wait for work on the event loop that has no task: what `runtime.waitUntil` does, with no
 * runtime at hand. The work is under way already; it waits neither for the response nor for a thread.
 *
 * @throws NoRequestError outside of a request. Besides, what `runtime.waitUntil` throws.
 */
export function waitUntil(promise: PromiseLike<unknown>, options?: WaitUntilOptions): void {
  const scope = current.getStore()
  if (scope === undefined) {
    refuseInThread('waitUntil')
    if (isThenable(promise)) ignoreRejection(promise)
    throw new NoRequestError('', 'waitUntil')
  }
  scope.runtime.waitUntil(promise, options)
}

/**
 * Adds a job that starts once the response is over, from anywhere within the handling of a request: what `req.after`
 * does, with no `req` at hand. Events of the request, of its response and of streams that the request is piped to are within.
 *
 * @throws NoRequestError outside of a request, where there is no response to wait for: use `runtime.enqueue` there. Besides,
 * what `req.after` throws.
 */
export function after<const Given extends AnyTask | RegisteredTask['name']>(
  task: Given,
  ...rest: PayloadAndOptions<TaskOf<RegisteredTask, NoInfer<Given>>>
): Job<ResultOfCall<RegisteredTask, Given>>
export function after(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job {
  const scope = current.getStore()
  if (scope === undefined) {
    refuseInThread('after')
    throw new NoRequestError(task)
  }
  return scope.add(task, payload, options)
}
