/** Finished jobs that can still be looked up, bounded by count and age. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import { TERMINAL_STATES, type TerminalState } from '../../words/job.ts'
import { Ring } from '../structures/ring.ts'

const STATES = TERMINAL_STATES.length

/**
 * Holds finished jobs and lets the oldest go. Ages are looked at when another job finishes, so there is no timer.
 *
 * What is kept of a job here is its number with its state, and when it ended; not its record. By the time that its turn
 * comes, the record has long left the caches of the processor, and to look at it once more took a fifth of a microsecond,
 * a third of all that the end of a job cost.
 */
export class FinishedJobs {
  readonly #entries = new Ring<number>()
  readonly #endedAt = new Ring<number>()
  readonly #clock: Clock
  readonly #limits: { readonly count: number; readonly age: number }
  readonly #forget: (seq: number, state: TerminalState) => void
  readonly #every: number
  /** How many entries of a job are outdated, by its number. */
  readonly #stale = new Map<number, number>()
  #staleEntries = 0

  /**
   * `every`: ages are looked at for one job in so many, since a reading of the clock for each may cost more than it is
   * worth.
   */
  constructor(
    clock: Clock,
    limits: { readonly count: number; readonly age: number },
    forget: (seq: number, state: TerminalState) => void,
    every = 64,
  ) {
    this.#clock = clock
    this.#limits = limits
    this.#forget = forget
    this.#every = every
  }

  add(job: JobRecord): void {
    this.#entries.push(job.seq * STATES + TERMINAL_STATES.indexOf(job.state as TerminalState))
    this.#endedAt.push(job.readyAt)
    while (this.#entries.length - this.#staleEntries > this.#limits.count) this.#drop()
    if (job.seq % this.#every === 0) this.#dropOld()
  }

  /** A job that starts over is no longer finished; its entry is passed over when its turn comes. */
  revived({ seq }: JobRecord): void {
    this.#stale.set(seq, (this.#stale.get(seq) ?? 0) + 1)
    this.#staleEntries++
  }

  #dropOld(): void {
    const oldest = this.#clock.now() - this.#limits.age
    for (let at = this.#endedAt.peek(); at !== undefined && at < oldest; at = this.#endedAt.peek())
      this.#drop()
  }

  #drop(): void {
    const entry = this.#entries.shift()
    this.#endedAt.shift()
    if (entry === undefined) return
    const seq = Math.floor(entry / STATES)
    if (this.#staleEntries === 0 || !this.#passOver(seq)) {
      this.#forget(seq, TERMINAL_STATES[entry - seq * STATES] as TerminalState)
    }
  }

  /** True when the oldest entry of a job is one that a revival has outdated. */
  #passOver(seq: number): boolean {
    const stale = this.#stale.get(seq)
    if (stale === undefined) return false
    if (stale === 1) this.#stale.delete(seq)
    else this.#stale.set(seq, stale - 1)
    this.#staleEntries--
    return true
  }
}
