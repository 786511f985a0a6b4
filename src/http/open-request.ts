/** One request in the hands of an adapter: what adds its jobs, and what the adapter tells of how it goes. */
import { types } from 'node:util'
import type { Batch } from '../engine/batch.ts'
import type { Job } from '../engine/job.ts'
import type { AnyRuntime } from '../engine/runtime.ts'
import { refusal } from '../rules/arguments.ts'
import type { AnyTask } from '../rules/task.ts'
import type { JobOptions } from '../words/job.ts'
import { enter, type Scope, within } from './context.ts'
import { type Adds, OpenResponse } from './open-response.ts'
import type { After, TryAfter } from './req-after.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'
import { offerRetry } from './retry-after.ts'
import { type ReadBaggage, travellingContext } from './travelling-context.ts'

/** What one `afterResponse` was given. */
export interface BatchPolicy {
  readonly runtime: AnyRuntime
  readonly order: 'sequential' | 'parallel'
  readonly onFailure: 'continue' | 'stop'
  readonly baggage: ReadBaggage | undefined
}

/**
 * One request and what it adds to one runtime: everything that an adapter needs. The batch is opened with the first job.
 * `after` and `tryAfter` may be taken off it.
 */
export class OpenRequest implements Adds, Scope {
  /** Adds a job that starts once the response is over: what `req.after` is. */
  readonly after: After
  /** As `after`, but null when the queue is full. */
  readonly tryAfter: TryAfter
  /** @internal */
  readonly response: OpenResponse
  /** @internal */
  readonly policy: BatchPolicy
  /** @internal */
  next: Adds | null
  #batch: Batch | null = null

  constructor(response: OpenResponse, policy: BatchPolicy) {
    this.response = response
    this.policy = policy
    this.next = response.adds
    response.adds = this
    this.after = ((task: string | AnyTask, payload?: unknown, options?: JobOptions) =>
      this.add(task, payload, options)) as After
    this.tryAfter = ((task: string | AnyTask, payload?: unknown, options?: JobOptions) =>
      this.tryAdd(task, payload, options)) as TryAfter
  }

  /** What a request adds to the runtime of a middleware, which may be the second of the runtime that it meets. */
  static of(req: AnyRequest, res: AnyResponse, policy: BatchPolicy): OpenRequest {
    const response = OpenResponse.of(res) ?? new OpenResponse(req, res)
    for (let adds = response.adds; adds !== null; adds = adds.next) {
      if (adds.runtime === policy.runtime) return adds as OpenRequest
    }
    return new OpenRequest(response, policy)
  }

  /** Runs the rest of the request, so that `after` from `aftertask` finds it. Returns what `next` returns. */
  run<Result>(next: () => Result): Result {
    if (typeof next !== 'function') throw refused('run', 'next', next, 'a function')
    return within(this, next)
  }

  /** As `run`, for a framework that gives an adapter nothing to call: the code that follows is within. */
  enter(): void {
    enter(this)
  }

  /**
   * An error reached the framework's error handler: the request has failed, whatever the status of its answer. Once the
   * response has been ended it can no longer fail.
   */
  fail(error: unknown): void {
    this.response.notice(error)
  }

  /** The status that the framework will answer with, where it is known before the response has it. */
  status(code: number): void {
    if (!Number.isInteger(code) || code < 100 || code > 999) {
      throw refused('status', 'code', code, 'a status from 100 to 999')
    }
    this.response.willAnswer(code)
  }

  /** The handler is at work until this settles: if the client leaves, jobs do not start before. */
  follow(handler: Promise<unknown>): void {
    if (!types.isPromise(handler)) throw refused('follow', 'handler', handler, 'a promise')
    this.response.follow(handler)
  }

  get runtime(): AnyRuntime {
    return this.policy.runtime
  }

  add(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job {
    const batch = this.#batchFor(task)
    try {
      return batch.add(task, payload, options)
    } catch (error) {
      offerRetry(this.response.res, error)
      throw error
    }
  }

  tryAdd(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job | null {
    return this.#batchFor(task).tryAdd(task, payload, options)
  }

  /** The batch of this runtime, or of another of the request's if only that one has the task. */
  #batchFor(task: string | AnyTask): Batch {
    if (this.next === null && this.response.adds === this) return this.#batch ?? this.#open()
    if (!this.#knows(task)) {
      for (let adds = this.response.adds; adds !== null; adds = adds.next) {
        const other = adds as OpenRequest
        if (other.#knows(task)) return other.#batch ?? other.#open()
      }
    }
    return this.#batch ?? this.#open()
  }

  #knows(task: string | AnyTask): boolean {
    return this.runtime.tasks.some((known) => known === task || known.name === task)
  }

  #open(): Batch {
    const { runtime, baggage } = this.policy
    // Read before anything is accepted: a baggage function may throw.
    const context = travellingContext(this.response.req, baggage)
    const batch = runtime.openBatch(this.policy, context)
    this.response.join(batch)
    this.#batch = batch
    return batch
  }
}

function refused(method: string, argument: string, value: unknown, expected: string): Error {
  return refusal(`openRequest().${method}`, `the argument ${argument}`, value, expected)
}
