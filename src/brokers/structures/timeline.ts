/** Jobs by the time they are due, with one timer for all of them. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import { Heap } from './heap.ts'

interface Due {
  readonly at: number
  readonly job: JobRecord
  readonly seq: number
}

// Below so many outdated places it is not worth the walk.
const FEW = 64

/** Calls back for each job when its time has come, in the order of their times. */
export class Timeline {
  readonly #heap = new Heap<Due>((a, b) => a.at - b.at || a.seq - b.seq)
  readonly #clock: Clock
  readonly #due: (job: JobRecord) => void
  readonly #stillWanted: (job: JobRecord, at: number) => boolean
  #count = 0
  #timerAt = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined
  #compactAt = 1024
  /** Places of jobs that wait here no more, as far as that was said. */
  #outdated = 0

  /**
   * `stillWanted` tells whether a job still waits here, for the time that its place has: the place of one that was cancelled
   * is dropped later.
   */
  constructor(
    clock: Clock,
    due: (job: JobRecord) => void,
    stillWanted: (job: JobRecord, at: number) => boolean,
  ) {
    this.#clock = clock
    this.#due = due
    this.#stillWanted = stillWanted
  }

  /** Adds a job; `at` is on the monotonic clock. */
  add(job: JobRecord, at: number): void {
    this.#heap.push({ at, job, seq: this.#count++ })
    if (this.#heap.length > this.#compactAt) this.#compact()
    this.#arm()
  }

  /** A job that waited here does no more. Its place is dropped in time, and at the latest once such places are most. */
  left(): void {
    const { length } = this.#heap
    if (length === 0) return
    if (++this.#outdated >= length || (this.#outdated > FEW && this.#outdated * 2 > length)) this.#compact()
  }

  #compact(): void {
    this.#heap.retain(({ job, at }) => this.#stillWanted(job, at))
    this.#compactAt = Math.max(1024, this.#heap.length * 2)
    this.#outdated = 0
  }

  /** When the next job is due; Infinity when none waits. */
  next(): number {
    for (let due = this.#heap.peek(); due !== undefined; due = this.#heap.peek()) {
      if (this.#stillWanted(due.job, due.at)) return due.at
      this.#pop()
    }
    return Number.POSITIVE_INFINITY
  }

  /** Stops the timer; nothing becomes due any more. */
  close(): void {
    this.#clearTimer?.()
    this.#timerAt = Number.NEGATIVE_INFINITY
  }

  #arm(): void {
    const next = this.#heap.peek()
    if (next === undefined || next.at >= this.#timerAt) return
    this.#clearTimer?.()
    this.#timerAt = next.at
    this.#clearTimer = this.#clock.timer(next.at - this.#clock.now(), () => this.#fire())
  }

  #fire(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    for (let next = this.#heap.peek(); next !== undefined && next.at <= now; next = this.#heap.peek()) {
      if (this.#stillWanted(next.job, next.at)) {
        this.#heap.pop()
        this.#due(next.job)
      } else this.#pop()
    }
    // Of those that wait on none may be left.
    if (this.#outdated > 0 && this.#outdated >= this.#heap.length) this.#compact()
    this.#arm()
  }

  /** Drops the outdated place that comes first. */
  #pop(): void {
    this.#heap.pop()
    if (this.#outdated > 0) this.#outdated--
  }
}
