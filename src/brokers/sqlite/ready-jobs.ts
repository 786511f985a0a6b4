/** The granted jobs of this process: by pool, best rank first, with those of a task at its concurrency limit set aside. */
import type { JobRecord } from '../../rules/job-record.ts'
import { ReadyQueue } from '../ready-queue.ts'
import { Ring } from '../ring.ts'

/** Jobs that wait for nothing but a thread. */
export class ReadyJobs {
  readonly #queues = new Map<string, ReadyQueue>()
  readonly #parked = new Map<number, Ring<JobRecord>>()
  readonly #running: number[] = []
  /** The latest time of what was pushed, by pool: an older job belongs before it. */
  readonly #latest = new Map<string, number>()
  readonly #ageing: number
  /** How many jobs run. */
  running = 0

  constructor(ageing: number) {
    this.#ageing = ageing
  }

  push(job: JobRecord): void {
    const { pool } = job.entry.task.policy
    const latest = this.#latest.get(pool) ?? Number.NEGATIVE_INFINITY
    if (job.readyAt < latest) return this.#queue(job).putBack(job)
    this.#latest.set(pool, job.readyAt)
    this.#queue(job).push(job)
  }

  putBack(job: JobRecord): void {
    this.#queue(job).putBack(job)
  }

  peek(pool: string): JobRecord | undefined {
    const queue = this.#queues.get(pool)
    if (queue === undefined) return undefined
    for (let job = queue.peek(); job !== undefined; job = queue.peek()) {
      const { index, task } = job.entry
      if ((this.#running[index] ?? 0) < task.policy.concurrency) return job
      queue.take()
      this.#park(job)
    }
    return undefined
  }

  claim(pool: string): JobRecord | undefined {
    const job = this.peek(pool)
    if (job === undefined) return undefined
    this.#queues.get(pool)?.take()
    const { index } = job.entry
    this.#running[index] = (this.#running[index] ?? 0) + 1
    this.running++
    job.state = 'running'
    return job
  }

  /** A job runs no more; another of its task may have been set aside for it. True when one was. */
  leaveRunning(job: JobRecord): boolean {
    const { index } = job.entry
    this.#running[index] = (this.#running[index] ?? 0) - 1
    this.running--
    const parked = this.#parked.get(index)
    if (parked === undefined) return false
    for (let next = parked.shift(); next !== undefined; next = parked.shift()) {
      if (next.state !== 'available') continue
      this.#queue(next).putBack(next)
      return true
    }
    return false
  }

  #park(job: JobRecord): void {
    let parked = this.#parked.get(job.entry.index)
    if (parked === undefined) {
      parked = new Ring()
      this.#parked.set(job.entry.index, parked)
    }
    parked.push(job)
  }

  #queue(job: JobRecord): ReadyQueue {
    const { pool } = job.entry.task.policy
    let queue = this.#queues.get(pool)
    if (queue === undefined) {
      queue = new ReadyQueue(this.#ageing)
      this.#queues.set(pool, queue)
    }
    return queue
  }
}
