/**
 * Jobs of batches that were not taken in, and which each would have waited for. The next job of the batch may be on its
 * way already, and says that it waits for one that is nowhere: it then waits for the one before that.
 */

// What is added behind such a job comes in the same moment, or not at all.
const MOST = 10_000

/** The last of them. */
export class Passed {
  readonly #jobs = new Map<number, number>()

  /** A job is passed over; `after` is the one that it would have waited for. */
  add(job: number, after: number): void {
    this.#jobs.set(job, after)
    if (this.#jobs.size > MOST) this.#jobs.delete(this.#jobs.keys().next().value as number)
  }

  /** The job that one which was passed over would have waited for. */
  get(job: number): number | undefined {
    return this.#jobs.get(job)
  }

  /** All of them, as plain data. */
  get all(): ReadonlyMap<number, number> {
    return this.#jobs
  }
}
