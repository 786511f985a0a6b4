/**
 * Jobs that can run now, best first.
 *
 * Waiting raises a job: its rank is `priority + waited / ageing`. What two jobs have waited grows alike, so their order
 * never changes and can be read from a fixed number, `readyAt - priority * ageing`. Jobs of the default priority come
 * in the order of that number by themselves and need a plain ring, O(1) at a million jobs; all others (another
 * priority, or given back after a crash) go to a heap. Taking compares the two heads.
 */
import type { JobRecord } from '../rules/job-record.ts'
import { Heap } from './heap.ts'
import { Ring } from './ring.ts'

// Without ageing a step of priority weighs more than any wait.
const NO_AGEING = 2 ** 40

/** A place in the heap. It keeps its own rank: the job's time changes when it ends, and a heap's order must not. */
interface Place {
  readonly job: JobRecord
  readonly readyAt: number
  readonly rank: number
}

/** The available jobs of one pool. Jobs that left by another door (cancelled) are dropped when they surface. */
export class ReadyQueue {
  readonly #fifo = new Ring<JobRecord>()
  readonly #ranked = new Heap<Place>((a, b) => a.rank - b.rank || a.job.seq - b.job.seq)
  readonly #weight: number

  constructor(ageing: number) {
    this.#weight = ageing === 0 ? NO_AGEING : ageing
  }

  /** Adds a job that has just become available. */
  push(job: JobRecord): void {
    if (job.priority === 0 && job.extras?.isInRing !== true) this.#fifo.push(job)
    else this.putBack(job)
  }

  /** Puts back a job that was taken, at the place its waiting time gives it. */
  putBack(job: JobRecord): void {
    this.#ranked.push({ job, readyAt: job.readyAt, rank: this.#rank(job) })
  }

  /** The job to run next, left where it is. */
  peek(): JobRecord | undefined {
    this.#drop()
    const first = this.#fifo.peek()
    if (this.#ranked.length === 0) return first
    const ranked = this.#ranked.peek()?.job
    if (first === undefined) return ranked
    return ranked !== undefined && this.isBefore(ranked, first) ? ranked : first
  }

  /** Takes the job to run next. */
  take(): JobRecord | undefined {
    const job = this.peek()
    if (job === undefined) return undefined
    if (job === this.#fifo.peek()) this.#fifo.shift()
    else this.#ranked.pop()
    return job
  }

  #drop(): void {
    for (let job = this.#fifo.peek(); job !== undefined; job = this.#fifo.peek()) {
      if (job.state === 'available' && job.extras?.isInRing !== true) break
      this.#fifo.shift()
      if (job.extras !== null) job.extras.isInRing = false
    }
    if (this.#ranked.length === 0) return
    for (let place = this.#ranked.peek(); place !== undefined; place = this.#ranked.peek()) {
      if (place.job.state === 'available' && place.job.readyAt === place.readyAt) break
      this.#ranked.pop()
    }
  }

  /** True when `a` is to run before `b`. */
  isBefore(a: JobRecord, b: JobRecord): boolean {
    const difference = this.#rank(a) - this.#rank(b)
    return difference < 0 || (difference === 0 && a.seq < b.seq)
  }

  #rank(job: JobRecord): number {
    return job.readyAt - job.priority * this.#weight
  }
}
