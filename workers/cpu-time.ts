/** The CPU time that each attempt takes of its thread, where Node tells it and somebody asks. */

const NOBODY = -1

/** Measures the attempts of one thread. A reading is a call to the system, so there is one for each attempt, not two. */
export class CpuTime {
  readonly #read: () => number
  /** Milliseconds by slot; NaN where nobody can tell. */
  readonly #column: Float64Array
  /** What the clock said when the last job ended or the next could start. */
  #last = 0
  /** The slot that has had the thread to itself since it started, and when that was: of others nobody could tell. */
  #sole = NOBODY
  #soleSince = 0

  private constructor(read: () => number, column: Float64Array) {
    this.#read = read
    this.#column = column
  }

  /** Null where Node does not tell it (before 23.9). */
  static in(column: Float64Array): CpuTime | null {
    if (typeof process.threadCpuUsage !== 'function') return null
    const usage = process.threadCpuUsage.bind(process)
    const read = (): number => {
      const { user, system } = usage()
      return (user + system) / 1000
    }
    return new CpuTime(read, column)
  }

  /** A job may start from now on. */
  beReady(): void {
    this.#last = this.#read()
  }

  begin(slot: number): void {
    this.#column[slot] = Number.NaN
    this.#sole = slot
    this.#soleSince = this.#last
  }

  /** The handler that was called last waits: the thread turns to others, of which so many run. */
  wait(running: number): void {
    this.#last = this.#read()
    if (running > 1) this.#sole = NOBODY
  }

  end(slot: number): void {
    if (this.#sole !== slot) return
    this.#sole = NOBODY
    // The end of one job is the start of the next: one reading serves both.
    this.#last = this.#read()
    this.#column[slot] = this.#last - this.#soleSince
  }
}
