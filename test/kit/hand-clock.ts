/** A clock that stands still until it is moved by hand. */
import type { Clock } from '../../src/words/clock.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
}

export class HandClock implements Clock {
  #now = 1000
  #wall = 1_700_000_000_000
  readonly #timers = new Set<Timer>()
  readonly #soon: (() => void)[] = []

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size
  }

  readonly now = (): number => this.#now

  readonly wall = (): number => this.#wall

  readonly timer = (delay: number, callback: () => void): (() => void) => {
    const timer = { at: this.#now + Math.max(0, delay), callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  readonly soon = (callback: () => void): void => void this.#soon.push(callback)

  /** Lets time pass; whatever becomes due is called back at its own time, in order. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds
    this.turn()
    for (let next = this.#nextBy(end); next !== undefined; next = this.#nextBy(end)) {
      const at = Math.max(this.#now, next.at)
      this.#wall += at - this.#now
      this.#now = at
      this.#timers.delete(next)
      next.callback()
      this.turn()
    }
    this.#wall += end - this.#now
    this.#now = end
  }

  /** Time passes in which the process stands still: what became due is called back by the next `advance`. */
  standStill(milliseconds: number): void {
    this.#now += milliseconds
    this.#wall += milliseconds
  }

  /** Ends the turn of the event loop. */
  turn(): void {
    for (let callback = this.#soon.shift(); callback; callback = this.#soon.shift()) callback()
  }

  jumpWall(milliseconds: number): void {
    this.#wall += milliseconds
  }

  #nextBy(end: number): Timer | undefined {
    const due = [...this.#timers].filter((timer) => timer.at <= end)
    return due.sort((a, b) => a.at - b.at)[0]
  }
}
