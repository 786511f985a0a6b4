/** Time that stands still until the simulation moves it. */
import type { Clock } from '../../src/words/clock.ts'

interface Event {
  readonly at: number
  readonly order: number
  run: (() => void) | null
}

/**
 * A clock whose timers are as coarse as Node's: a delay is cut to whole milliseconds, at least one, so a timer may come
 * a fraction early, measured on `now`, as the real one does.
 */
export class VirtualClock implements Clock {
  #now: number
  #wallOffset: number
  /** By how much somebody has set the wall clock, all in all. */
  set = 0
  #count = 0
  readonly #heap: Event[] = []
  #soon: (() => void)[] = []

  /** A process that starts later has a zero of its own for `now`, and finds the wall clock where it is. */
  constructor(now = 1000.25, time = 1_700_000_000_000 + now) {
    this.#now = now
    this.#wallOffset = time - now
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return Math.round(this.#now + this.#wallOffset)
  }

  /** What the wall clock shows, to the fraction. */
  get time(): number {
    return this.#now + this.#wallOffset
  }

  timer(delay: number, callback: () => void): () => void {
    if (Number.isNaN(delay)) throw new RangeError('A timer was set for NaN milliseconds.')
    // Node cuts a longer delay; the engine's own clock waits this long and then asks again.
    return this.at(this.#now + Math.max(1, Math.trunc(Math.min(delay, 2 ** 31 - 1))), callback)
  }

  soon(callback: () => void): void {
    this.#soon.push(callback)
  }

  /** True when something waits for the end of the turn. */
  get hasSoon(): boolean {
    return this.#soon.length > 0
  }

  /** Somebody sets the machine's clock. */
  jump(milliseconds: number): void {
    this.#wallOffset += milliseconds
    this.set += milliseconds
  }

  /** For the simulated threads: calls back at a moment, exactly. Returns the call that takes it back. */
  at(moment: number, callback: () => void): () => void {
    const event: Event = { at: Math.max(moment, this.#now), order: this.#count++, run: callback }
    this.#push(event)
    return () => {
      event.run = null
    }
  }

  /** The end of a turn of the event loop. */
  turn(): void {
    while (this.#soon.length > 0) {
      const calls = this.#soon
      this.#soon = []
      for (const call of calls) call()
    }
  }

  /** When something happens next; Infinity when nothing ever will. */
  next(): number {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.run !== null) return first.at
      this.#pop()
    }
    return Number.POSITIVE_INFINITY
  }

  /** Moves on to a moment without passing over any event. */
  moveTo(moment: number): void {
    this.#now = Math.max(this.#now, moment)
  }

  /** Runs what is due now; one event, then the turn it makes. False when nothing is. */
  step(): boolean {
    if (!this.run()) return false
    this.turn()
    return true
  }

  /** Runs one event that is due now, without the turn that follows it. False when nothing is. */
  run(): boolean {
    if (this.next() > this.#now) return false
    this.#pop()?.run?.()
    return true
  }

  #push(event: Event): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent] as Event
      if (!isBefore(event, above)) break
      heap[index] = above
      index = parent
    }
    heap[index] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return first
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      const below = heap[child] as Event
      if (!isBefore(below, last)) break
      heap[index] = below
      index = child
    }
    heap[index] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
