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

/** The available jobs of one pool. Jobs that left by another door (cancelled) are dropped when they surface. */
export class ReadyQueue {
  readonly #fifo = new Ring<JobRecord>()
  readonly #ranked: Heap<JobRecord>
  readonly #weight: number

  constructor(ageing: number) {
    this.#weight = ageing === 0 ? NO_AGEING : ageing
    this.#ranked = new Heap((a, b) => this.#rank(a) - this.#rank(b) || a.seq - b.seq)
  }

  /** Adds a job that has just become available. */
  push(job: JobRecord): void {
    if (job.priority === 0) this.#fifo.push(job)
    else this.#ranked.push(job)
  }

  /** Puts back a job that was taken, at the place its waiting time gives it. */
  putBack(job: JobRecord): void {
    this.#ranked.push(job)
  }

  /** The job to run next, left where it is. */
  peek(): JobRecord | undefined {
    this.#drop()
    const first = this.#fifo.peek()
    const ranked = this.#ranked.peek()
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
    while (this.#fifo.peek() !== undefined && this.#fifo.peek()?.state !== 'available') this.#fifo.shift()
    while (this.#ranked.peek() !== undefined && this.#ranked.peek()?.state !== 'available') this.#ranked.pop()
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
