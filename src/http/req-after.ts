/** `req.after` and `req.tryAfter`: their types, and what stands behind them. */
import type { Batch } from '../engine/batch.ts'
import type { Job } from '../engine/job.ts'
import type { AnyRuntime } from '../engine/runtime.ts'
import type { PayloadAndOptions, ResultOfCall, TaskOf } from '../rules/calls.ts'
import type { RegisteredTask } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'
import type { JobOptions } from '../words/job.ts'
import { type Adds, OpenResponse } from './open-response.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'
import { offerRetry } from './retry-after.ts'
import { type ReadBaggage, travellingContext } from './travelling-context.ts'

/**
 * Adds a job that starts once the response is over. By the task object, or by name (typed through `Register`).
 * The payload is checked and copied at once. The default `when` of a job is `ok`: see `JobOptions`.
 *
 * Throws UnknownTaskError, PayloadInvalidError (`status` 400), NotSerializableError, QueueFullError (`status` 503),
 * RuntimeStoppedError (`status` 503) and OptionsInvalidError; nothing is kept of a job that is refused.
 */
export type After<Tasks extends AnyTask = RegisteredTask> = <const Given extends AnyTask | Tasks['name']>(
  task: Given,
  ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
) => Job<ResultOfCall<Tasks, Given>>

/** As `After`, but returns null instead of throwing when the queue is full. Everything else is thrown as there. */
export type TryAfter<Tasks extends AnyTask = RegisteredTask> = <const Given extends AnyTask | Tasks['name']>(
  task: Given,
  ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
) => Job<ResultOfCall<Tasks, Given>> | null

declare module 'http' {
  interface IncomingMessage {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}

declare module 'http2' {
  interface Http2ServerRequest {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}

/** What one `afterResponse` was given. */
export interface BatchPolicy {
  readonly runtime: AnyRuntime
  readonly order: 'sequential' | 'parallel'
  readonly onFailure: 'continue' | 'stop'
  readonly baggage: ReadBaggage | undefined
}

/** What one request adds to one runtime. The batch is opened with the first job. */
export class RequestJobs implements Adds {
  readonly response: OpenResponse
  readonly policy: BatchPolicy
  next: Adds | null
  #batch: Batch | null = null

  constructor(response: OpenResponse, policy: BatchPolicy) {
    this.response = response
    this.policy = policy
    this.next = response.adds
    response.adds = this
  }

  /** What a request adds to the runtime of a middleware, which may be the second of the runtime that it meets. */
  static of(req: AnyRequest, res: AnyResponse, policy: BatchPolicy): RequestJobs {
    const response = OpenResponse.of(res) ?? new OpenResponse(req, res)
    for (let adds = response.adds; adds !== null; adds = adds.next) {
      if (adds.runtime === policy.runtime) return adds as RequestJobs
    }
    return new RequestJobs(response, policy)
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
        const other = adds as RequestJobs
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
