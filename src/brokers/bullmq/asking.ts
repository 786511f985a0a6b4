/**
 * Whoever asks the store a question gets an answer, or an error of ours once the patience is over: a store that refuses or
 * says nothing leaves nobody waiting, and the words of its driver reach nobody.
 */
import type { Clock } from '../../words/clock.ts'
import { AftertaskError, type BrokerUnavailableError } from '../../words/errors.ts'
import { pause } from '../lifecycle/retries.ts'
import type { Availability } from './availability.ts'
import { concernsStore } from './store/faults.ts'
import type { SharedStore } from './store/shared-store.ts'

const TRY_AGAIN = 100
// A store that is there may take longer, such as to count millions of jobs; one connection of many may have got lost.
const LONGEST = 3
const ASK_AGAIN = 'Ask again later.'

/** Asks the store. */
export class Asking {
  readonly #clock: Clock
  readonly #patience: number
  readonly #availability: Availability
  readonly #store: Pick<SharedStore, 'explain'>
  /** Resolves once the store has been reached. */
  reached: Promise<void> = Promise.resolve()

  /** `patience` in milliseconds. */
  constructor(
    clock: Clock,
    patience: number,
    availability: Availability,
    store: Pick<SharedStore, 'explain'>,
  ) {
    this.#clock = clock
    this.#patience = patience
    this.#availability = availability
    this.#store = store
  }

  /**
   * Resolves to the answer; a question that fails is asked again.
   *
   * @throws BrokerUnavailableError (as a rejection) when the store has been down for as long as the patience lasts, or has
   * failed to answer for as long, or has been silent for three times as long.
   */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    const begun = this.#clock.now()
    for (;;) {
      const waiting = this.#hopeless(begun)
      try {
        // What a store says that takes no writes may be old, and lacks what has not been written.
        const reached = this.reached.then(() => this.#availability.whenUp())
        return await Promise.race([reached.then(question), waiting.promise])
      } catch (error) {
        if (error instanceof AftertaskError || !concernsStore(error)) throw error
        if (this.#clock.now() - begun >= this.#patience) throw this.#failed(error)
      } finally {
        waiting.end()
      }
      await pause(this.#clock, TRY_AGAIN)
    }
  }

  #failed(error: unknown): BrokerUnavailableError {
    if (!this.#availability.isUp) return this.#availability.error(ASK_AGAIN)
    return this.#store.explain(error)
  }

  /** Rejects when there is no use in waiting any longer. */
  #hopeless(begun: number): { promise: Promise<never>; end: () => void } {
    const { promise, reject } = Promise.withResolvers<never>()
    let stopTimer = (): void => {}
    const look = (): void => {
      const { isUp, downFor = 0 } = this.#availability
      const waited = this.#clock.now() - begun
      // One that has been down for long is not waited for at all.
      const isOver = isUp ? waited >= LONGEST * this.#patience : Math.max(waited, downFor) >= this.#patience
      if (isOver) return reject(this.#availability.error(ASK_AGAIN))
      stopTimer = this.#clock.timer(this.#patience / 2, look)
    }
    look()
    // It may be that the answer has come first.
    promise.catch(() => {})
    return { promise, end: () => stopTimer() }
  }
}
