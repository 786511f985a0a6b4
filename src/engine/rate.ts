/** How fast jobs end, and what that means for whoever was refused. */

const WINDOW = 2000
const LONGEST_WAIT = 300

/** Counts ends in a sliding pair of windows; asking costs nothing until somebody does. */
export class Rate {
  #windowAt: number
  #count = 0
  #before = 0

  constructor(now: number) {
    this.#windowAt = now
  }

  /** A job is over. */
  add(now: number): void {
    if (now - this.#windowAt >= WINDOW) this.#turn(now)
    this.#count++
  }

  /** Jobs that end in a second, as far as the last seconds tell. */
  perSecond(now: number): number {
    const sinceTurn = now - this.#windowAt
    if (sinceTurn >= WINDOW) this.#turn(now)
    const weight = Math.max(0, 1 - (now - this.#windowAt) / WINDOW)
    return ((this.#count + this.#before * weight) / WINDOW) * 1000
  }

  /** Seconds until about a tenth of a full queue has been worked off: long enough that a retry is not refused again at once. */
  retryAfter(maxPending: number, now: number): number {
    const rate = this.perSecond(now)
    const wait = rate > 0 ? maxPending / 10 / rate : LONGEST_WAIT / 10
    return Math.min(Math.max(Math.ceil(wait), 1), LONGEST_WAIT)
  }

  #turn(now: number): void {
    this.#before = now - this.#windowAt < 2 * WINDOW ? this.#count : 0
    this.#count = 0
    this.#windowAt = now
  }
}
