/** Finished jobs that can still be looked up, bounded by count and age. */
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { Ring } from './ring.ts'

/** Holds finished jobs and lets the oldest go. Ages are looked at when another job finishes, so there is no timer. */
export class FinishedJobs {
  readonly #ring = new Ring<JobRecord>()
  readonly #clock: Clock
  readonly #limits: { readonly count: number; readonly age: number }
  readonly #forget: (job: JobRecord) => void
  readonly #every: number
  #stale = 0

  /**
   * `every`: ages are looked at for one job in so many, since a reading of the clock for each may cost more than it is
   * worth.
   */
  constructor(
    clock: Clock,
    limits: { readonly count: number; readonly age: number },
    forget: (job: JobRecord) => void,
    every = 64,
  ) {
    this.#clock = clock
    this.#limits = limits
    this.#forget = forget
    this.#every = every
  }

  add(job: JobRecord): void {
    this.#ring.push(job)
    while (this.#ring.length - this.#stale > this.#limits.count) this.#drop()
    if (job.seq % this.#every === 0) this.#dropOld()
  }

  /** A job that starts over is no longer finished; its entry is passed over when its turn comes. */
  revived(job: JobRecord): void {
    job.more.staleEntries = (job.extras?.staleEntries ?? 0) + 1
    this.#stale++
  }

  #dropOld(): void {
    const oldest = this.#clock.now() - this.#limits.age
    for (let job = this.#ring.peek(); job !== undefined && job.readyAt < oldest; job = this.#ring.peek())
      this.#drop()
  }

  #drop(): void {
    const job = this.#ring.shift()
    if (job === undefined) return
    const stale = job.extras?.staleEntries ?? 0
    if (stale === 0) return this.#forget(job)
    job.more.staleEntries = stale - 1
    this.#stale--
  }
}
