/** The clock of a test runtime: it stands still until the test lets time pass. */
import { refusal } from '../rules/arguments.ts'
import { type Clock, systemClock } from '../words/clock.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Turns of the event loop without news after which nothing more is expected of handlers in this thread. */
const QUIET_TURNS = 5

/**
 * Time by hand: delays, back-off, schedules, timeouts and leases of one runtime go by it, and nothing else does. Handlers
 * and other code see the real time.
 */
export class TestClock implements Clock {
  readonly #cell = new Float64Array(new SharedArrayBuffer(8))
  #wall: number
  readonly #timers = new Set<Timer>()
  #isThawed = false
  /** Resolves once nothing is on its way to a handler. */
  readonly #taken: () => Promise<void>
  #news = 0

  constructor(start: Date, taken: () => Promise<void>) {
    this.#taken = taken
    this.#wall = start.getTime()
    this.#cell[0] = 1000
  }

  /** Where threads read the time. @internal */
  get cell(): SharedArrayBuffer {
    return this.#cell.buffer
  }

  /** @internal */
  readonly isNeverSet = true

  /** @internal */
  now(): number {
    return this.#cell[0] as number
  }

  /** Milliseconds since 1970 by this clock. */
  wall(): number {
    return this.#wall
  }

  /** The date by this clock. */
  date(): Date {
    return new Date(this.#wall)
  }

  /** @internal */
  timer(delay: number, callback: () => void): () => void {
    if (this.#isThawed) return systemClock.timer(delay, callback)
    const timer = { at: this.now() + Math.max(0, delay), callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** @internal */
  soon(callback: () => void): void {
    systemClock.soon(callback)
  }

  /** @internal */
  atOnce(callback: () => void): void {
    systemClock.atOnce?.(callback)
  }

  /**
   * Lets time pass: milliseconds, or a text such as `'30s'`, `'5m'`, `'1h'`, `'2d'`. Whatever becomes due happens at its own time,
   * in order, and handlers in this thread get their turns in between. Resolves when all of it has happened.
   *
   * @throws OptionsInvalidError (as a rejection) when the time is none, or goes back.
   */
  async advance(time: number | string): Promise<void> {
    const end = this.now() + millisecondsOf(time)
    await this.quiet()
    for (let next = this.#nextBy(end); next !== undefined; next = this.#nextBy(end)) {
      this.#passTo(Math.max(this.now(), next.at))
      this.#timers.delete(next)
      next.callback()
      await this.quiet()
    }
    this.#passTo(end)
  }

  /**
   * Lets time pass to the next thing that is due, and lets that happen. Resolves to false when nothing is due, ever.
   */
  async next(): Promise<boolean> {
    await this.quiet()
    const next = this.#nextBy(Number.POSITIVE_INFINITY)
    if (next === undefined) return false
    await this.advance(Math.max(0, next.at - this.now()))
    return true
  }

  /** Something has happened that more may follow from. @internal */
  noteNews(): void {
    this.#news++
  }

  /** Resolves when no job is on its way to a handler, and the event loop has turned some times without news. @internal */
  async quiet(): Promise<void> {
    await this.#taken()
    for (let turns = 0, seen = this.#news; turns < QUIET_TURNS; turns++) {
      await new Promise<void>((resolve) => systemClock.soon(resolve))
      if (this.#news !== seen) turns = 0
      seen = this.#news
    }
  }

  /** Time is real from now on: a runtime that ends waits for nobody to let it pass. @internal */
  thaw(): void {
    this.#isThawed = true
    for (const { at, callback } of this.#timers) systemClock.timer(at - this.now(), callback)
    this.#timers.clear()
  }

  #passTo(time: number): void {
    this.#wall += time - this.now()
    this.#cell[0] = time
  }

  #nextBy(end: number): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer
    }
    return next
  }
}

/** Milliseconds of a time as `advance` takes it. */
function millisecondsOf(time: unknown): number {
  const text = typeof time === 'string' ? /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(time) : null
  const value = text === null ? time : Number(text[1]) * UNITS[text[2] as keyof typeof UNITS]
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw refusal(
    'clock.advance',
    'the time',
    time,
    "milliseconds, 0 or more, or a text such as '30s', '5m' or '1h'",
  )
}
