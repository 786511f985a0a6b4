/** A first-in first-out queue of jobs that wait, of which some end before their turn. */
import type { JobRecord } from '../../rules/job-record.ts'
import { Ring } from './ring.ts'

/** Jobs in the order added. Those that have ended are passed over, and dropped once they are most. */
export class LiveRing {
  readonly #jobs = new Ring<JobRecord>()
  #ended = 0

  push(job: JobRecord): void {
    this.#jobs.push(job)
  }

  /** The first that still waits. */
  peek(): JobRecord | undefined {
    for (let job = this.#jobs.peek(); job !== undefined; job = this.#jobs.peek()) {
      if (job.state === 'available') return job
      this.#jobs.shift()
      if (this.#ended > 0) this.#ended--
    }
    return undefined
  }

  /** Takes the first that still waits. */
  shift(): JobRecord | undefined {
    const job = this.peek()
    if (job !== undefined) this.#jobs.shift()
    return job
  }

  /** One that may have waited here has ended. */
  ended(): void {
    if (this.#jobs.length === 0 || ++this.#ended * 2 <= this.#jobs.length) return
    this.#jobs.retain((job) => job.state === 'available')
    this.#ended = 0
  }
}
