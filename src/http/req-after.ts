/** `req.after` and `req.tryAfter`: their types, and what stands behind them. */
import type { Batch } from '../engine/batch.ts'
import type { Job } from '../engine/job.ts'
import { engineOf, type PayloadAndOptions, type Runtime, type TaskNamed } from '../engine/runtime.ts'
import type { RegisteredTask } from '../rules/registry.ts'
import type { AnyTask, ResultOf } from '../rules/task.ts'
import type { JobOptions } from '../words/job.ts'
import { OpenResponse } from './open-response.ts'
import type { AnyRequest, AnyResponse } from './response-end.ts'
import { type ReadBaggage, travellingContext } from './travelling-context.ts'

/** The task that a name stands for: any task, as long as no runtime is registered. */
export type NamedTask<Tasks extends AnyTask, Name extends string> = string extends Tasks['name']
  ? AnyTask
  : TaskNamed<Tasks, Name>

/**
 * Adds a job that starts once the response is over. By the task object, or by name (typed through `Register`).
 * The payload is checked and copied at once. The default `when` of a job is `ok`: see `JobOptions`.
 *
 * Throws UnknownTaskError, PayloadInvalidError (`status` 400), NotSerializableError, QueueFullError (`status` 503),
 * RuntimeStoppedError (`status` 503) and OptionsInvalidError; nothing is kept of a job that is refused.
 */
export interface After<Tasks extends AnyTask = RegisteredTask> {
  <T extends AnyTask>(task: T, ...rest: PayloadAndOptions<NoInfer<T>>): Job<ResultOf<T>>
  <Name extends Tasks['name']>(
    name: Name,
    ...rest: PayloadAndOptions<NamedTask<Tasks, Name>>
  ): Job<ResultOf<NamedTask<Tasks, Name>>>
}

/** As `After`, but returns null instead of throwing when the queue is full. Everything else is thrown as there. */
export interface TryAfter<Tasks extends AnyTask = RegisteredTask> {
  <T extends AnyTask>(task: T, ...rest: PayloadAndOptions<NoInfer<T>>): Job<ResultOf<T>> | null
  <Name extends Tasks['name']>(
    name: Name,
    ...rest: PayloadAndOptions<NamedTask<Tasks, Name>>
  ): Job<ResultOf<NamedTask<Tasks, Name>>> | null
}

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
  readonly runtime: Runtime
  readonly order: 'sequential' | 'parallel'
  readonly onFailure: 'continue' | 'stop'
  readonly baggage: ReadBaggage | undefined
}

const jobsOf: unique symbol = Symbol('aftertask.jobs')
type MarkedResponse = AnyResponse & { [jobsOf]?: RequestJobs }

/**
 * What one request adds to one runtime. The middleware makes one for every request, most of which may add nothing, so it
 * holds what has to be read early and no more: the batch is opened, and the response watched, with the first job.
 */
export class RequestJobs {
  readonly req: AnyRequest
  readonly res: AnyResponse
  readonly policy: BatchPolicy
  /** Sub-apps rewrite it, so it is read now. */
  readonly url: string
  /** Where the request's other runtimes, its response and the rest of its chain are noted: the first of the request. */
  readonly first: RequestJobs
  next: RequestJobs | null = null
  /** What is known of the response; on the first alone. */
  response: OpenResponse | null = null
  /** What the rest of the middleware chain returned, when that was a promise; on the first alone. */
  handler: Promise<unknown> | null = null
  #batch: Batch | null = null

  constructor(req: AnyRequest, res: MarkedResponse, policy: BatchPolicy) {
    this.req = req
    this.res = res
    this.policy = policy
    this.url = ('originalUrl' in req ? (req.originalUrl as string) : undefined) ?? req.url ?? ''
    const first = res[jobsOf]
    this.first = first ?? this
    if (first === undefined) res[jobsOf] = this
    else {
      this.next = first.next
      first.next = this
    }
  }

  /** What a request adds to a runtime, when a middleware of the runtime has met it before. */
  static find(res: MarkedResponse, runtime: Runtime): RequestJobs | undefined {
    for (let jobs = res[jobsOf] ?? null; jobs !== null; jobs = jobs.next) {
      if (jobs.policy.runtime === runtime) return jobs
    }
    return undefined
  }

  /** What the first middleware has made for a request. */
  static firstOf(res: MarkedResponse): RequestJobs | undefined {
    return res[jobsOf]
  }

  add(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job {
    return (this.#batch ?? this.#open()).add(task, payload, options)
  }

  tryAdd(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job | null {
    return (this.#batch ?? this.#open()).tryAdd(task, payload, options)
  }

  /** What is known of the response, from now on. */
  openResponse(): OpenResponse {
    const { first } = this
    first.response ??= new OpenResponse(first.req, first.res, first.url, first.handler)
    return first.response
  }

  /** The rest of the middleware chain goes on until this promise settles. */
  follow(handler: Promise<unknown>): void {
    const { first } = this
    first.handler = handler
    first.response?.follow(handler)
  }

  /** An error came by on its way to the framework. */
  notice(error: unknown): void {
    // Once the response has been ended it can no longer fail: the client has its answer.
    if (!this.res.writableEnded) this.openResponse().fail(error)
  }

  #open(): Batch {
    const { runtime, baggage } = this.policy
    // Read before anything is accepted: a baggage function may throw.
    const context = travellingContext(this.req, baggage)
    const batch = runtime.openBatch(this.policy, context)
    const { clock, options } = runtime[engineOf]
    this.openResponse().join(batch, clock, options.handlerGrace)
    this.#batch = batch
    return batch
  }
}
