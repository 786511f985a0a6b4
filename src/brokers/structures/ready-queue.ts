/**
 * Jobs that can run now, best first.
 *
 * Waiting raises a job: its rank is `priority + waited / ageing`. What two jobs have waited grows alike, so their order
 * never changes and can be read from a fixed number, `readyAt - priority * ageing`. Jobs of the default priority come
 * in the order of that number by themselves and need a plain ring, O(1) at a million jobs; all others (another
 * priority, or given back after a crash) go to a heap. Taking compares the two heads.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import { Heap } from './heap.ts'
import { Ring } from './ring.ts'

// Without ageing a step of priority weighs more than any wait.
const NO_AGEING = 2 ** 40

/** A place in the heap. It keeps its own rank: the job's time changes when it ends, and a heap's order must not. */
interface Place {
  readonly job: JobRecord
  readonly readyAt: number
  readonly priority: number
  readonly rank: number
}

// Below so many outdated places it is not worth the walk.
const FEW = 64

/**
 * The available jobs of one pool. A job that ended while it waited leaves its place behind: it is dropped when it
 * surfaces, or with all others of its kind once they outnumber the jobs that still wait.
 */
export class ReadyQueue {
  readonly #fifo = new Ring<JobRecord>()
  readonly #ranked = new Heap<Place>((a, b) => a.rank - b.rank || a.job.seq - b.job.seq)
  readonly #weight: number
  /** Places of jobs that have ended. */
  #outdated = 0

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
    const { readyAt, priority } = job
    this.#ranked.push({ job, readyAt, priority, rank: this.#rank(job) })
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
    if (this.#outdated > 0 && this.#outdated >= this.#fifo.length + this.#ranked.length) this.#compact()
    return job
  }

  /** A job that may have waited here does so no more. Nothing of it is kept for longer than as many others wait. */
  ended(): void {
    const places = this.#fifo.length + this.#ranked.length
    if (places === 0) return
    if (++this.#outdated < places && (this.#outdated <= FEW || this.#outdated * 2 <= places)) return
    this.#compact()
  }

  #compact(): void {
    this.#fifo.retain(staysInRing)
    this.#ranked.retain(staysInHeap)
    this.#outdated = 0
  }

  #drop(): void {
    for (let job = this.#fifo.peek(); job !== undefined; job = this.#fifo.peek()) {
      if (staysInRing(job)) break
      this.#fifo.shift()
      if (this.#outdated > 0) this.#outdated--
    }
    if (this.#ranked.length === 0) return
    for (let place = this.#ranked.peek(); place !== undefined; place = this.#ranked.peek()) {
      if (staysInHeap(place)) break
      this.#ranked.pop()
      if (this.#outdated > 0) this.#outdated--
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

/** False for a job that has left its place in the ring, which it may take anew from then on. */
function staysInRing(job: JobRecord): boolean {
  if (job.state === 'available' && job.extras?.isInRing !== true) return true
  if (job.extras !== null) job.extras.isInRing = false
  return false
}

/** False for a place that the job has left: it has ended, came again later, or ranks otherwise by now. */
function staysInHeap({ job, readyAt, priority }: Place): boolean {
  return job.state === 'available' && job.readyAt === readyAt && job.priority === priority
}
