/**
 * The pace: request work comes first, also when a flood of short jobs could keep the event loop busy with nothing but
 * handing them out and taking their outcomes in. The engine's own time on the loop is an account that fills with a share
 * of the time that passes; while it is overdrawn and the loop has other work, the next bundle waits. On a loop that has
 * nothing else to do there is no limit.
 */
import type { Clock } from '../words/clock.ts'

/** The engine's share of a busy loop. */
const SHARE = 0.2
/** What may be saved up, in milliseconds: a burst of this much is never delayed. */
const SAVINGS = 4
/** One piece of work counts at most this much: what is longer was a pause of the garbage collector or of the machine. */
const LONGEST = 5
/** Other work below this share of the time does not count as busy. */
const BUSY = 0.1

/** A stream is what fills this many places of a bundle at each turn of the loop; below, waking a thread costs little. */
const STREAM = 16
/** Milliseconds between two bundles of a stream, at most; so many more jobs in the last one, one millisecond more. */
const LONGEST_GAP = 4
const JOBS_A_MILLISECOND = 16

/** Decides whether a bundle goes out now. */
export class Pace {
  readonly #clock: Clock
  #balance = SAVINGS
  #balanceAt: number
  #ownTime = 0
  #sampledAt: number
  #sampledActive = 0
  #sampledOwn = 0
  #isBusy = false
  #lastAt = 0
  /** How long the next bundle of a stream is to wait; 0 when there is no stream. */
  #gap = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#balanceAt = clock.now()
    this.#sampledAt = this.#balanceAt
  }

  /** The engine has spent this many milliseconds on the event loop. */
  spent(milliseconds: number): void {
    this.#balance -= Math.min(milliseconds, LONGEST)
    this.#ownTime += milliseconds
  }

  /** A bundle went out; `tookAll`: no job was left. */
  sent(jobs: number, tookAll: boolean, now: number): void {
    this.#gap = tookAll && jobs >= STREAM ? Math.min(jobs / JOBS_A_MILLISECOND, LONGEST_GAP) : 0
    this.#lastAt = now
  }

  /** Milliseconds until the next bundle may go out; 0 when it may now. */
  wait(): number {
    if (this.#clock.loopActive === undefined) return 0
    if (this.#balance > 0 && this.#gap === 0) return 0
    const now = this.#clock.now()
    const gap = this.#gap > 0 ? this.#lastAt + this.#gap - now : 0
    return Math.max(gap, this.#balance > 0 ? 0 : this.#overdrawn(now, this.#clock.loopActive()), 0)
  }

  #overdrawn(now: number, active: number): number {
    this.#balance = Math.min(SAVINGS, this.#balance + (now - this.#balanceAt) * SHARE)
    this.#balanceAt = now
    if (this.#balance > 0) return 0
    if (!this.#isLoopBusy(now, active)) {
      this.#balance = 0
      return 0
    }
    return -this.#balance / SHARE
  }

  // Looked at over spans of some milliseconds: shorter ones would tell more about one request than about the load.
  #isLoopBusy(now: number, active: number): boolean {
    const span = now - this.#sampledAt
    if (span < 5) return this.#isBusy
    const others = active - this.#sampledActive - (this.#ownTime - this.#sampledOwn)
    this.#isBusy = others / span > BUSY
    this.#sampledAt = now
    this.#sampledActive = active
    this.#sampledOwn = this.#ownTime
    return this.#isBusy
  }
}
