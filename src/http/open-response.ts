/**
 * One response and the batches that wait for its end: how it ended, whether its request failed, and when the
 * handler that added the jobs has ended as well.
 */
import type { Batch } from '../engine/batch.ts'
import type { Clock } from '../words/clock.ts'
import type { ResponseFacts } from '../words/job.ts'
import {
  type AnyRequest,
  type AnyResponse,
  type EndListener,
  type Outcome,
  watchEnd,
} from './response-end.ts'

/** A batch and how long its runtime waits for a handler whose client has left. */
interface Waiting {
  readonly batch: Batch
  readonly clock: Clock
  readonly handlerGrace: number
}

/** What this library knows of a response. One is made when a request adds its first job, or fails. */
export class OpenResponse implements EndListener {
  readonly req: AnyRequest
  readonly res: AnyResponse
  readonly #url: string
  #waiting: Waiting[] | null = null
  #isWatched = false
  #outcome: Outcome | null = null
  #facts: ResponseFacts | null = null
  #error: unknown
  /** What the rest of the middleware chain returned, when that was a promise. */
  #handler: Promise<unknown> | null
  #letGo: (() => void)[] | null = null

  constructor(req: AnyRequest, res: AnyResponse, url: string, handler: Promise<unknown> | null) {
    this.req = req
    this.res = res
    this.#url = url
    this.#handler = handler
  }

  /** Settles a batch when this response is over; at once when it is. */
  join(batch: Batch, clock: Clock, handlerGrace: number): void {
    if (this.#facts !== null) {
      batch.settle(this.#facts)
      return
    }
    const waiting = { batch, clock, handlerGrace }
    if (this.#waiting === null) this.#waiting = [waiting]
    else this.#waiting.push(waiting)
    if (this.#letGo !== null) this.#bound(waiting, this.#letGo)
    if (this.#isWatched) return
    this.#isWatched = true
    const outcome = watchEnd(this.req, this.res, this)
    if (outcome !== null) this.responseEnded(outcome)
  }

  /** An error reached the framework's error handler. */
  fail(error: unknown): void {
    this.#error ??= error ?? new Error('The handler threw nothing: undefined or null.')
  }

  /** The rest of the middleware chain goes on until this promise settles. The innermost sub-app's is the one that counts. */
  follow(handler: Promise<unknown>): void {
    this.#handler = handler
    if (this.#letGo !== null) this.#awaitHandler(handler)
  }

  responseEnded(outcome: Outcome): void {
    this.#outcome = outcome
    if (outcome === 'sent' || this.res.writableEnded) this.#settle()
    else this.#hold()
  }

  // The client has left and the handler is still at work: its jobs must not overtake it.
  #hold(): void {
    const { res } = this
    this.#letGo = []
    for (const waiting of this.#waiting ?? []) this.#bound(waiting, this.#letGo)
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

  #bound({ batch, clock, handlerGrace }: Waiting, letGo: (() => void)[]): void {
    letGo.push(clock.timer(handlerGrace, () => batch.settle(this.#factsNow())))
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
    this.#facts = this.#factsNow()
    const waiting = this.#waiting
    this.#waiting = null
    for (const letGo of this.#letGo ?? []) letGo()
    this.#letGo = null
    for (const { batch } of waiting ?? []) batch.settle(this.#facts)
  }

  #factsNow(): ResponseFacts {
    return {
      statusCode: this.res.statusCode,
      outcome: this.#outcome ?? 'aborted',
      error: this.#error,
      method: this.req.method ?? '',
      url: this.#url,
    }
  }
}
