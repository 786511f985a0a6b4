/**
 * Jobs that may have brought a process down. Each starts only once it is on record that it does, so that a job which
 * kills its process every time is charged every time; and few at a time, so that few others are charged with it.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import { Ring } from '../ring.ts'

const AT_A_TIME = 4

/** Lets suspects start a few at a time. */
export class Suspects {
  readonly #waiting = new Ring<JobRecord>()
  readonly #admitted = new Set<JobRecord>()
  readonly #mark: (job: JobRecord) => void

  /** `mark` has it written that the job starts, and then lets it. */
  constructor(mark: (job: JobRecord) => void) {
    this.#mark = mark
  }

  add(job: JobRecord): void {
    this.#waiting.push(job)
    this.#admit()
  }

  /** The job is over, or out of our hands: another may start. */
  leave(job: JobRecord): void {
    if (this.#admitted.delete(job)) this.#admit()
  }

  #admit(): void {
    while (this.#admitted.size < AT_A_TIME) {
      const job = this.#waiting.shift()
      if (job === undefined) return
      if (job.state !== 'available') continue
      this.#admitted.add(job)
      this.#mark(job)
    }
  }
}
