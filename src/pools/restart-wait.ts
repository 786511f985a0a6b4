/** How long a pool waits before it starts the next thread, when threads keep dying with no job to blame. */
import type { Clock } from '../words/clock.ts'

/** Deaths in a row, with no attempt ended in between, before the pool starts to wait. */
const PATIENCE = 3
const FIRST_WAIT = 100
const LONGEST_WAIT = 30_000

/** Counts deaths, and holds up the start of threads when there are too many. */
export class RestartWait {
  readonly #clock: Clock
  readonly #over: () => void
  #deaths = 0
  #clear: (() => void) | undefined
  #until = 0

  /** `over` is called when threads may be started again. */
  constructor(clock: Clock, over: () => void) {
    this.#clock = clock
    this.#over = over
  }

  /** True while no thread may be started. */
  get isOn(): boolean {
    return this.#clear !== undefined
  }

  /** True when threads keep dying: a single one tries whether the next lives. */
  get isLongSince(): boolean {
    return this.#deaths >= PATIENCE
  }

  /** Milliseconds that are left of the wait, rounded up; 0 when there is none. */
  get left(): number {
    return this.isOn ? Math.max(1, Math.ceil(this.#until - this.#clock.now())) : 0
  }

  /** A thread has died with no job to blame. */
  died(): void {
    this.#deaths++
    if (this.#deaths < PATIENCE) return
    const wait = Math.min(FIRST_WAIT * 2 ** (this.#deaths - PATIENCE), LONGEST_WAIT)
    this.#clear?.()
    this.#clear = this.#clock.timer(wait, () => {
      this.#clear = undefined
      this.#over()
    })
    this.#until = this.#clock.now() + wait
  }

  /** An attempt has ended as it should: threads live. */
  lived(): void {
    if (this.#deaths === 0) return
    this.#deaths = 0
    this.close()
    this.#over()
  }

  close(): void {
    this.#clear?.()
    this.#clear = undefined
  }
}
