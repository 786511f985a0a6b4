/** `after` with no request at hand: the request is found through AsyncLocalStorage. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { Job } from '../engine/job.ts'
import type { AnyRuntime } from '../engine/runtime.ts'
import type { PayloadAndOptions, ResultOfCall, TaskOf } from '../rules/calls.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { RegisteredTask } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'
import { NoRuntimeError } from '../words/errors.ts'
import type { JobOptions } from '../words/job.ts'
import type { RequestJobs } from './req-after.ts'

const current = new AsyncLocalStorage<RequestJobs>()
/** The runtimes that servers of this process use, the latest last. */
const inUse = new Set<AnyRuntime>()

/**
 * Runs the rest of a request so that `after` finds it.
 *
 * `current.run(jobs, run)` would do, but it makes two copies of the map of all stores, one to set ours and one to set
 * what was there before. An AsyncResource remembers the map as it is and puts it back as it was, so that one copy is
 * enough: two thirds of the price, for something that most requests make no use of.
 */
export function within<Result>(jobs: RequestJobs, run: () => Result): Result {
  return new AsyncResource('aftertask.request').runInAsyncScope<undefined, Result>(
    enterAndRun,
    undefined,
    jobs,
    run,
  )
}

function enterAndRun<Result>(jobs: RequestJobs, run: () => Result): Result {
  current.enterWith(jobs)
  return run()
}

/** For a middleware that is called without a `next`: what follows in this call, and all that comes of it, is within. */
export function enter(jobs: RequestJobs): void {
  current.enterWith(jobs)
}

/** Makes a runtime one that `after` can use outside of a request, until it has stopped. */
export function use(runtime: AnyRuntime): void {
  if (!inUse.delete(runtime)) runtime.on('runtime:stopped', () => inUse.delete(runtime))
  if (runtime.stats().phase !== 'stopped') inUse.add(runtime)
}

/**
 * Adds a job that starts once the response is over, from anywhere within the handling of a request: what `req.after`
 * does, with no `req` at hand. Outside of a request there is no response to wait for, and the job is available at
 * once, on the runtime that was last given to `afterResponse` (and has the task, and has not stopped).
 *
 * @throws NoRuntimeError outside of a request when no runtime was given to `afterResponse`; besides, what `req.after` throws.
 */
export function after<const Given extends AnyTask | RegisteredTask['name']>(
  task: Given,
  ...rest: PayloadAndOptions<TaskOf<RegisteredTask, NoInfer<Given>>>
): Job<ResultOfCall<RegisteredTask, Given>>
export function after(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job {
  const jobs = current.getStore()
  if (jobs !== undefined) return jobs.add(task, payload, options)
  refuseInThread('after')
  return runtimeFor(task).enqueue(task as string, payload, options)
}

function runtimeFor(task: string | AnyTask): AnyRuntime {
  let latest: AnyRuntime | undefined
  let latestWithTask: AnyRuntime | undefined
  for (const runtime of inUse) {
    latest = runtime
    if (runtime.tasks.some((known) => known === task || known.name === task)) latestWithTask = runtime
  }
  // Without the task, the latest says what is wrong: it knows what its tasks are called.
  const runtime = latestWithTask ?? latest
  if (runtime === undefined) throw new NoRuntimeError(typeof task === 'string' ? task : task.name)
  return runtime
}
