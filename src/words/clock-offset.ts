/** Reads times of the monotonic clock on the wall, so that what came later never reads as earlier. */
import type { Clock } from './clock.ts'

/** Milliseconds by which the clocks may drift apart before one of them is said to have been set. */
const DRIFT = 5

// A pause of the process between the two readings would pass for a clock that was set.
const MOST_READINGS = 5
const LONGEST_READING = 1

/**
 * How far a wall clock is from the monotonic one. The offset is kept until somebody sets the wall clock: two readings of
 * it differ by up to a millisecond, and by more when the process pauses, which would put times out of order.
 */
export class ClockOffset {
  readonly #clock: Clock
  #offset = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A time of the monotonic clock in milliseconds since 1970, not rounded. */
  wall(monotonic: number): number {
    return monotonic + this.#current()
  }

  /** A time in milliseconds since 1970 on the monotonic clock, whole. */
  monotonic(wall: number): number {
    return Math.round(wall - this.#current())
  }

  #current(): number {
    for (let reading = 0; reading < MOST_READINGS; reading++) {
      const before = this.#clock.now()
      const offset = this.#clock.wall() - before
      if (Math.abs(offset - this.#offset) <= DRIFT) return this.#offset
      if (this.#clock.now() - before > LONGEST_READING) continue
      this.#offset = offset
      break
    }
    // Without one steady reading the last offset is the better guess, once there is one.
    if (this.#offset === Number.NEGATIVE_INFINITY) this.#offset = this.#clock.wall() - this.#clock.now()
    return this.#offset
  }
}
