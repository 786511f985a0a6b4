/** One timer for the next job that is due in the journal. */
import type { Clock } from '../../words/clock.ts'

/** Calls back when the wall clock has come to the time that the journal named. */
export class DueTimer {
  readonly #clock: Clock
  readonly #due: () => void
  #at = Number.POSITIVE_INFINITY
  #clear: (() => void) | undefined

  constructor(clock: Clock, due: () => void) {
    this.#clock = clock
    this.#due = due
  }

  /** When it is, on the monotonic clock; Infinity for never. */
  get next(): number {
    return this.#at - this.#clock.wall() + this.#clock.now()
  }

  /** Sets it to a wall-clock time. */
  set(at: number): void {
    this.#clear?.()
    this.#at = at
    if (at === Number.POSITIVE_INFINITY) return
    this.#clear = this.#clock.timer(Math.max(0, at - this.#clock.wall()), () => {
      // The wall clock may have gone back meanwhile, and a very long wait comes in parts.
      if (this.#clock.wall() < this.#at) return this.set(this.#at)
      this.#at = Number.POSITIVE_INFINITY
      this.#due()
    })
  }

  close(): void {
    this.#clear?.()
    this.#at = Number.POSITIVE_INFINITY
  }
}
