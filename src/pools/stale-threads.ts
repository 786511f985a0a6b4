/**
 * Threads that remember a failed import. Node evaluates a module once in a thread, also when it throws, so an attempt
 * in that thread fails as the one before it did, though the file or the dependency may be there by now. Such a thread is
 * replaced: the first time at once, then at growing intervals, in which it goes on serving the other tasks.
 */
import type { Clock } from '../words/clock.ts'
import type { ThreadLane } from './lane.ts'

const FIRST_WAIT = 100
const LONGEST_WAIT = 30_000

/** The threads of a pool that are to be replaced since an import failed there. */
export class StaleThreads {
  readonly #clock: Clock
  readonly #lanes = new Set<ThreadLane>()
  /** Rounds of replacements since a thread came up with nothing wrong. */
  #rounds = 0
  #lastAt = Number.NEGATIVE_INFINITY
  #clear: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** An attempt has failed in this thread for an import that had failed there. */
  report(lane: ThreadLane): void {
    if (lane.retiring) return
    this.#lanes.add(lane)
    if (this.#clear !== undefined) return
    const now = this.#clock.now()
    // What went well for a long time, or was asked for by nobody, starts over.
    if (now - this.#lastAt > 2 * LONGEST_WAIT) this.#rounds = 0
    const wait = this.#rounds === 0 ? 0 : Math.min(FIRST_WAIT * 2 ** (this.#rounds - 1), LONGEST_WAIT)
    if (wait === 0) return this.#replace()
    this.#clear = this.#clock.timer(wait, () => this.#replace())
  }

  /** A thread came up with nothing wrong. */
  allWell(): void {
    this.#rounds = 0
  }

  close(): void {
    this.#clear?.()
    this.#lanes.clear()
  }

  #replace(): void {
    this.#clear = undefined
    this.#rounds++
    this.#lastAt = this.#clock.now()
    const lanes = [...this.#lanes]
    this.#lanes.clear()
    for (const lane of lanes) lane.retire()
  }
}
