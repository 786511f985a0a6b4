/** The granted jobs of this process: by pool, best rank first. A task at its concurrency limit stands in nobody's way. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { PoolQueue } from '../structures/pool-queue.ts'

/** Jobs that wait for nothing but a thread. */
export class ReadyJobs {
  readonly #queues = new Map<string, PoolQueue>()
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
    if (job.readyAt < latest) return this.#queue(pool).putBack(job)
    this.#latest.set(pool, job.readyAt)
    this.#queue(pool).push(job)
  }

  putBack(job: JobRecord): void {
    this.#queue(job.entry.task.policy.pool).putBack(job)
  }

  peek(pool: string): JobRecord | undefined {
    return this.#queues.get(pool)?.peek()
  }

  claim(pool: string): JobRecord | undefined {
    const job = this.#queues.get(pool)?.take()
    if (job === undefined) return undefined
    const { index } = job.entry
    this.#running[index] = (this.#running[index] ?? 0) + 1
    this.running++
    job.state = 'running'
    return job
  }

  hold(entry: TaskEntry, isHeld: boolean): void {
    this.#queue(entry.task.policy.pool).hold(entry, isHeld)
  }

  /** A job runs no more. True when another of its task may have waited for that. */
  leaveRunning(job: JobRecord): boolean {
    const { index, task } = job.entry
    this.#running[index] = (this.#running[index] ?? 0) - 1
    this.running--
    return task.policy.concurrency !== Number.POSITIVE_INFINITY
  }

  /** The priority of a job that waits here is another by now. */
  moved(job: JobRecord): void {
    this.#queue(job.entry.task.policy.pool).moved(job)
  }

  /** A job that waited here does not for now. */
  left(job: JobRecord): void {
    this.#queue(job.entry.task.policy.pool).left(job)
  }

  /** A job that waited here has ended without being claimed. */
  ended(job: JobRecord): void {
    this.#queues.get(job.entry.task.policy.pool)?.ended(job)
  }

  #queue(pool: string): PoolQueue {
    let queue = this.#queues.get(pool)
    if (queue === undefined) {
      queue = new PoolQueue(
        this.#ageing,
        ({ index, task }) => (this.#running[index] ?? 0) < task.policy.concurrency,
      )
      this.#queues.set(pool, queue)
    }
    return queue
  }
}
