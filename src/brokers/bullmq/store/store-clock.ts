/**
 * The time of the store, on the event loop of a process. Leases, due times and the times by which jobs expire are written by
 * many processes and read by others, and the clocks of their machines may be minutes apart: so all of them go by the store's.
 * It is asked now and then; in between, the monotonic clock goes on, so that whoever sets the clock of this machine changes
 * nothing.
 */
import type { Clock } from '../../../words/clock.ts'
import { every } from '../../lifecycle/every.ts'

/** A store that can be asked for the time. */
export interface TimeStore {
  /** Milliseconds since 1970 by the clock of the store. */
  time(): Promise<number>
}

const LONGEST_ASK_EVERY = 2000
// Milliseconds.
const LONG = 100
const MOST_QUESTIONS = 3
// More than what one of the clocks is slower than the other between two questions.
const STEP = 1000
// After the clock of the store was set, nothing is old for so long: it may be set right again.
const UNSETTLED = 600_000

/** A clock whose wall is that of the store. */
export class StoreClock implements Clock {
  readonly #clock: Clock
  /** What the store's clock shows more than the monotonic one; undefined as long as nobody knows. */
  #offset: number | undefined
  #steppedAt = Number.NEGATIVE_INFINITY
  #stop = (): void => {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  now(): number {
    return this.#clock.now()
  }

  /** By the store's clock; before that is known, by the machine's. */
  wall(): number {
    return this.#offset === undefined ? this.#clock.wall() : Math.round(this.#clock.now() + this.#offset)
  }

  get isNeverSet(): boolean {
    return this.#clock.isNeverSet === true
  }

  timer(delay: number, callback: () => void): () => void {
    return this.#clock.timer(delay, callback)
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback)
  }

  /** True when the clock of the store was set by a second or more, no longer ago than so many milliseconds. */
  hasStepped(within = UNSETTLED): boolean {
    return this.#clock.now() - this.#steppedAt < within
  }

  /** Asks the store for the time. Never rejects: without an answer, what is known stays. */
  async learn(store: TimeStore): Promise<void> {
    // An answer that was long on its way says little: this process may have stood still meanwhile.
    for (let took = Number.POSITIVE_INFINITY, left = MOST_QUESTIONS; took > LONG && left > 0; left--) {
      const asked = this.#clock.now()
      try {
        const time = await store.time()
        const answered = this.#clock.now()
        if (Number.isFinite(time)) this.#learned(time, asked, answered)
        took = answered - asked
      } catch {
        // A store that is away is asked again, later.
        return
      }
    }
  }

  /** Asks the store now and then, at least six times in a lease of so many milliseconds. */
  start(store: TimeStore, lease: number): void {
    this.#stop = every(this.#clock, Math.min(LONGEST_ASK_EVERY, lease / 6), () => void this.learn(store))
  }

  close(): void {
    this.#stop()
  }

  /** The store read its clock at some moment between question and answer. */
  #learned(time: number, asked: number, answered: number): void {
    const [least, most] = [time - answered, time - asked]
    const before = this.#offset
    // What is known is as good as any other guess.
    if (before !== undefined && before >= least && before <= most) return
    if (before === undefined) this.#offset = (least + most) / 2
    else this.#offset = before < least ? least : most
    if (before !== undefined && Math.abs(this.#offset - before) >= STEP) this.#steppedAt = answered
  }
}
