/**
 * Jobs that may have brought a process down. Each starts only once it is on record that it does, so that a job which
 * kills its process every time is charged every time. One that was charged already runs with no other suspect beside
 * it: whoever is innocent is charged once at most for its neighbour, and then the guilty one is found.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import { LiveRing } from '../structures/live-ring.ts'

/** Suspects that were never charged may start so many at a time: enough to keep the threads of a machine busy. */
const AT_A_TIME = 16

/** Lets suspects start, those that were charged first and alone. */
export class Suspects {
  readonly #charged = new LiveRing()
  readonly #fresh = new LiveRing()
  readonly #admitted = new Set<JobRecord>()
  readonly #mark: (job: JobRecord) => void

  /** `mark` has it written that the job starts, and then lets it. */
  constructor(mark: (job: JobRecord) => void) {
    this.#mark = mark
  }

  add(job: JobRecord): void {
    if (job.crashes > 0) this.#charged.push(job)
    else this.#fresh.push(job)
    this.#admit()
  }

  /** The job is over, or out of our hands: another may start. */
  leave(job: JobRecord): void {
    if (this.#admitted.delete(job)) this.#admit()
  }

  /** A job that may have waited here has ended. */
  ended(): void {
    this.#charged.ended()
    this.#fresh.ended()
  }

  #admit(): void {
    const charged = this.#charged.peek()
    if (charged !== undefined) {
      if (this.#admitted.size > 0) return
      this.#charged.shift()
      this.#let(charged)
      return
    }
    if ([...this.#admitted].some((job) => job.crashes > 0)) return
    while (this.#admitted.size < AT_A_TIME) {
      const fresh = this.#fresh.peek()
      if (fresh === undefined) return
      this.#fresh.shift()
      this.#let(fresh)
    }
  }

  #let(job: JobRecord): void {
    this.#admitted.add(job)
    this.#mark(job)
  }
}
