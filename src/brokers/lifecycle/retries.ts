/** The one policy of trying again, for a store that may be away: a write is tried until the store has it, or refuses it. */
import type { Clock } from '../../words/clock.ts'

const FIRST_WAIT = 50
const LONGEST_WAIT = 1000

/** Who hears of writes that fail. */
export interface WriteWatch {
  /** A write has failed, and will be tried again. */
  failed(write: object, fault: unknown): void
  /** It is done, or is not tried any more. */
  passed(write: object): void
}

/** Writes under way, so that a stop can wait for them. */
export class Retries {
  readonly #clock: Clock
  readonly #isFinal: (fault: unknown) => boolean
  readonly #pending = new Set<Promise<unknown>>()
  /** Writes that wait for their next try. */
  readonly #waiting = new Set<() => void>()
  /** Set by whoever wants to hear of writes that fail. */
  watch: WriteWatch | undefined
  #isClosed = false

  /** `isFinal`: whether a fault is there to stay. */
  constructor(clock: Clock, isFinal: (fault: unknown) => boolean) {
    this.#clock = clock
    this.#isFinal = isFinal
  }

  /** Tries again after every fault that may pass. Rejects when the store refuses the write, or after the deadline of `settle`. */
  retry<T>(write: () => Promise<T>): Promise<T> {
    const promise = this.#try(write)
    this.#pending.add(promise)
    const over = (): void => void this.#pending.delete(promise)
    promise.then(over, over)
    return promise
  }

  /** The same where nobody asks what came of it. */
  see(write: () => Promise<unknown>): void {
    // The store refuses what has been overtaken by something else, and the rest ends with the process.
    this.retry(write).catch(() => {})
  }

  async #try<T>(write: () => Promise<T>): Promise<T> {
    for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        const done = await write()
        if (wait > FIRST_WAIT) this.watch?.passed(write)
        return done
      } catch (error) {
        if (this.#isFinal(error) || this.#isClosed) {
          this.watch?.passed(write)
          throw error
        }
        this.watch?.failed(write, error)
        await this.#pause(wait)
      }
    }
  }

  /** Whatever waits for its next try is tried now: the store is there again. */
  retryNow(): void {
    for (const go of this.#waiting) go()
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        stopTimer()
        this.#waiting.delete(go)
        resolve()
      }
      const stopTimer = this.#clock.timer(milliseconds, go)
      this.#waiting.add(go)
    })
  }

  /** Waits for what is under way, but not longer than so many milliseconds; then nothing is tried again. */
  async settle(most: number): Promise<void> {
    const idle = async (): Promise<void> => {
      while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
    }
    await within(this.#clock, most, idle())
    this.#isClosed = true
    this.retryNow()
  }
}

/** Waits for so many milliseconds. */
export function pause(clock: Clock, milliseconds: number): Promise<void> {
  return new Promise((resolve) => void clock.timer(milliseconds, resolve))
}

/** Waits for a promise, but not longer than so many milliseconds. */
export function within(clock: Clock, milliseconds: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const stopTimer = clock.timer(milliseconds, resolve)
    const over = (): void => {
      stopTimer()
      resolve()
    }
    promise.then(over, (error: unknown) => {
      stopTimer()
      reject(error)
    })
  })
}
