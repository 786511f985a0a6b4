/**
 * One response and the batches that wait for its end: how it ended, whether its request failed, and when the
 * handler that added the jobs has ended as well.
 */
import type { Batch } from '../engine/batch.ts'
import type { ResponseFacts } from '../words/job.ts'
import { type AnyRequest, type AnyResponse, type Outcome, ResponseWatch } from './response-end.ts'
import { offerRetry } from './retry-after.ts'

/** What a request adds to one runtime, and a link of the request's list of them. */
export interface Adds {
  readonly runtime: object
  next: Adds | null
}

/**
 * What this library knows of a response. The first middleware of a request makes it, and most requests may add
 * nothing: the response is watched from the first job on.
 */
export class OpenResponse extends ResponseWatch {
  /** What the request adds to each runtime. */
  adds: Adds | null = null
  /** What `after` adds to in the events of the request and the response: the latest of those. */
  scope: Adds | null = null
  /** Sub-apps rewrite it, so it is read at once. */
  readonly #url: string
  /** Most responses have one batch and need no array. */
  #waiting: Batch | Batch[] | null = null
  #isWatched = false
  #outcome: Outcome | null = null
  #facts: ResponseFacts | null = null
  #error: unknown
  /** What the adapter has told of the status, which the response may not have yet. */
  #status: number | null = null
  /** What the rest of the middleware chain returned, when that was a promise. */
  #handler: Promise<unknown> | null = null
  #letGo: (() => void)[] | null = null

  constructor(req: AnyRequest, res: AnyResponse) {
    super(req, res)
    this.#url = ('originalUrl' in req ? (req.originalUrl as string) : undefined) ?? req.url ?? ''
  }

  /** What is known of a response; undefined when no middleware has met it. */
  static override of(res: AnyResponse): OpenResponse | undefined {
    return ResponseWatch.of(res) as OpenResponse | undefined
  }

  /** Settles a batch when this response is over; at once when it is. */
  join(batch: Batch): void {
    if (this.#facts !== null) {
      batch.settle(this.#facts)
      return
    }
    if (this.#waiting === null) this.#waiting = batch
    else this.#waiting = [...this.#batches(), batch]
    if (this.#letGo !== null) this.#bound(batch, this.#letGo)
    if (this.#isWatched) return
    this.#isWatched = true
    const outcome = this.watch()
    if (outcome !== null) this.ended(outcome)
  }

  /** An error reached the framework's error handler. */
  fail(error: unknown): void {
    offerRetry(this.res, error)
    this.#error ??= error ?? new Error('The handler threw nothing: undefined or null.')
  }

  /** An error came by on its way to the framework. */
  notice(error: unknown): void {
    // Once the response has been ended it can no longer fail: the client has its answer.
    if (!this.res.writableEnded) this.fail(error)
  }

  /** The framework will answer with this status; it counts until the head is written. */
  willAnswer(status: number): void {
    this.#status = status
  }

  /** The rest of the middleware chain goes on until this promise settles. The innermost sub-app's is the one that counts. */
  follow(handler: Promise<unknown>): void {
    this.#handler = handler
    if (this.#letGo !== null) this.#awaitHandler(handler)
  }

  override ended(outcome: Outcome): void {
    this.#outcome = outcome
    if (outcome === 'sent' || this.res.writableEnded || this.#isGivenUp()) this.#settle()
    else this.#hold()
  }

  /** The response was destroyed with an error by this side, as a stream that breaks does: nothing is left to wait for. */
  #isGivenUp(): boolean {
    return 'errored' in this.res && this.res.errored !== null
  }

  #batches(): Batch[] {
    const waiting = this.#waiting
    return Array.isArray(waiting) ? waiting : waiting === null ? [] : [waiting]
  }

  // The client has left and the handler is still at work: its jobs must not overtake it.
  #hold(): void {
    const { res } = this
    this.#letGo = []
    for (const batch of this.#batches()) this.#bound(batch, this.#letGo)
    const original = res.end
    const settle = (): void => this.#settle()
    const patched = function end(this: AnyResponse, ...args: unknown[]): unknown {
      try {
        return Reflect.apply(original, this, args)
      } finally {
        settle()
      }
    }
    res.end = patched as typeof res.end
    this.#letGo.push(() => {
      if (res.end === (patched as typeof res.end)) res.end = original
    })
    if (this.#handler !== null) this.#awaitHandler(this.#handler)
  }

  #bound(batch: Batch, letGo: (() => void)[]): void {
    letGo.push(batch.giveGrace(() => this.#factsNow()))
  }

  // A promise that was over before the client left says nothing, unless a body was under way: the handler works on
  // through callbacks, or in a sub-app. The first turn of the microtask queue tells which it is.
  #awaitHandler(handler: Promise<unknown>): void {
    let wasOver = true
    const over = (): void => {
      if (!wasOver || this.res.headersSent) this.#settle()
    }
    handler.then(over, over)
    queueMicrotask(() => {
      wasOver = false
    })
  }

  #settle(): void {
    if (this.#facts !== null) return
    const facts = this.#factsNow()
    const waiting = this.#waiting
    const letGo = this.#letGo
    this.#facts = facts
    this.#waiting = null
    this.#letGo = null
    if (letGo !== null) for (const undo of letGo) undo()
    if (Array.isArray(waiting)) for (const batch of waiting) batch.settle(facts)
    else waiting?.settle(facts)
  }

  #factsNow(): ResponseFacts {
    return {
      statusCode: this.#status === null || this.res.headersSent ? this.res.statusCode : this.#status,
      outcome: this.#outcome ?? 'aborted',
      error: this.#error,
      method: this.req.method ?? '',
      url: this.#url,
    }
  }
}
