/**
 * The time by which a journal goes. A file outlives the process, so its times are those of the wall clock; but somebody may
 * set that clock, and then a delay would take hours, results would be a year old at once. So within a process the journal's
 * time is that of the wall clock at the start, and goes on with the monotonic clock. By how much it is ahead of the wall
 * is kept in the file: the next process moves what it finds by as much.
 *
 * A file that several processes share has one time for all of them: that of the wall clock, as it is.
 */
import type { Clock } from '../../words/clock.ts'
import { ClockOffset } from '../../words/clock-offset.ts'

// Less is corrected by time servers all the time, and is worth no write.
const STEP = 1000
// The time since the start of the machine may come in whole seconds.
const COARSE = 2000

/** A clock whose wall nobody sets. */
export class JournalClock implements Clock {
  readonly #clock: Clock
  /** Reads the wall clock as it is; of a shared file this is the journal's time. */
  readonly #wall: ClockOffset
  readonly #isShared: boolean
  /** What the journal's time is more than the monotonic clock shows. */
  #offset: number
  #ahead = 0
  /** How long the machine had been asleep, and a constant. */
  #slept: number

  constructor(clock: Clock, isShared: boolean) {
    this.#clock = clock
    this.#wall = new ClockOffset(clock)
    this.#isShared = isShared
    this.#offset = this.#wall.wall(0)
    this.#slept = this.#asleep()
  }

  now(): number {
    return this.#clock.now()
  }

  wall(): number {
    return this.#isShared ? this.#clock.wall() : this.#clock.now() + this.#offset
  }

  timer(delay: number, callback: () => void): () => void {
    return this.#clock.timer(delay, callback)
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback)
  }

  /** A time of the monotonic clock as the journal's, not rounded. */
  wallOf(monotonic: number): number {
    return this.#isShared ? this.#wall.wall(monotonic) : monotonic + this.#offset
  }

  /** A time of the journal's on the monotonic clock, whole. */
  monotonicOf(wall: number): number {
    return this.#isShared ? this.#wall.monotonic(wall) : Math.round(wall - this.#offset)
  }

  /** By how many milliseconds the journal's time is ahead of the wall clock, if that is news. */
  step(): number | undefined {
    if (this.#isShared) return undefined
    const ahead = this.wall() - this.#clock.wall()
    if (Math.abs(ahead - this.#ahead) < STEP) return undefined
    const slept = this.#asleep()
    const passed = slept - this.#slept
    this.#slept = slept
    // While the machine slept, time has passed: nobody has set a clock.
    if (passed > COARSE && Math.abs(this.#ahead - ahead - passed) <= COARSE) {
      this.#offset += this.#ahead - ahead
      return undefined
    }
    this.#ahead = ahead
    return ahead
  }

  #asleep(): number {
    return (this.#clock.uptime?.() ?? this.#clock.now()) - this.#clock.now()
  }
}
