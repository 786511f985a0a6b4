/** Long walks over jobs, in slices between which the event loop has its turn. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../words/clock.ts'

/** Jobs that are looked at between two looks at the clock, and milliseconds after which the event loop has its turn. */
const AT_A_TIME = 256
const SLICE = 4

/** Counts the jobs of one walk. */
export class Slices {
  readonly #clock: Clock
  #turn: number
  #looked = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#turn = clock.now()
  }

  /** A job was looked at. True when it is time to look at the clock. */
  looked(): boolean {
    return ++this.#looked % AT_A_TIME === 0
  }

  /** Resolves at once, or after a turn of the event loop if the walk has kept it busy for long. */
  async rest(now: number = this.#clock.now()): Promise<void> {
    if (now - this.#turn < SLICE) return
    await nextTurn()
    this.#turn = this.#clock.now()
  }
}
