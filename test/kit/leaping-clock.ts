/**
 * A clock that runs with the real one and can leap ahead, so that long waits pass at once with real threads. One that stands
 * still only leaps: however long a test takes, no time passes that it does not let pass.
 */
import type { Clock } from '../../src/words/clock.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
  handle: NodeJS.Timeout | undefined
}

export class LeapingClock implements Clock {
  readonly #stoodAt: number | undefined
  #ahead = 0
  #wallAhead = 0
  readonly #timers = new Set<Timer>()

  constructor({ standsStill = false } = {}) {
    this.#stoodAt = standsStill ? performance.now() : undefined
  }

  readonly now = (): number => (this.#stoodAt ?? performance.now()) + this.#ahead

  readonly wall = (): number => Date.now() + this.#wallAhead

  readonly timer = (delay: number, callback: () => void): (() => void) => {
    const timer: Timer = { at: this.now() + delay, callback, handle: undefined }
    this.#timers.add(timer)
    this.#arm(timer)
    return () => this.#clear(timer)
  }

  readonly soon = (callback: () => void): void => void setImmediate(callback)

  /** Lets time pass at once: timers that are due by then are called back in their order. */
  leap(milliseconds: number): void {
    this.#ahead += milliseconds
    for (const timer of [...this.#timers].sort((a, b) => a.at - b.at)) {
      if (!this.#timers.has(timer)) continue
      if (timer.at <= this.now()) this.#fire(timer)
      else this.#arm(timer)
    }
  }

  /** Moves the wall clock alone, as an administrator or a time server does. */
  jumpWall(milliseconds: number): void {
    this.#wallAhead += milliseconds
  }

  #arm(timer: Timer): void {
    clearTimeout(timer.handle)
    const delay = Math.min(Math.max(timer.at - this.now(), 0), 2 ** 31 - 1)
    if (delay > 0 && this.#stoodAt !== undefined) return
    timer.handle = setTimeout(() => this.#fire(timer), delay).unref()
  }

  #fire(timer: Timer): void {
    this.#clear(timer)
    timer.callback()
  }

  #clear(timer: Timer): void {
    clearTimeout(timer.handle)
    this.#timers.delete(timer)
  }
}
