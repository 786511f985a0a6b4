/**
 * The jobs of one pool that can run now, best first. Jobs of a task with a limit of its own wait in a queue apart, so
 * that a task at its limit stands in nobody's way, and its jobs keep their order among themselves, however many wait.
 */
import type { JobRecord } from '../rules/job-record.ts'
import type { TaskEntry } from '../rules/registry.ts'
import { ReadyQueue } from './ready-queue.ts'

/** The available jobs of one pool. */
export class PoolQueue {
  readonly #unlimited: ReadyQueue
  readonly #limited = new Map<TaskEntry, ReadyQueue>()
  readonly #ageing: number
  readonly #mayRun: (entry: TaskEntry) => boolean

  /** `mayRun` tells whether a task that has a limit is below it. */
  constructor(ageing: number, mayRun: (entry: TaskEntry) => boolean) {
    this.#ageing = ageing
    this.#unlimited = new ReadyQueue(ageing)
    this.#mayRun = mayRun
  }

  /** Adds a job that has just become available. */
  push(job: JobRecord): void {
    this.#queueOf(job.entry).push(job)
  }

  /** Puts back a job that was taken, at the place its waiting time gives it. */
  putBack(job: JobRecord): void {
    this.#queueOf(job.entry).putBack(job)
  }

  /** The job to run next, left where it is. */
  peek(): JobRecord | undefined {
    return this.#best().peek()
  }

  /** Takes the job to run next. */
  take(): JobRecord | undefined {
    return this.#best().take()
  }

  /** The queue whose first job goes before those of the others. */
  #best(): ReadyQueue {
    let best = this.#unlimited
    if (this.#limited.size === 0) return best
    let first = best.peek()
    for (const [entry, queue] of this.#limited) {
      const job = queue.peek()
      if (job === undefined || !this.#mayRun(entry)) continue
      if (first !== undefined && !queue.isBefore(job, first)) continue
      best = queue
      first = job
    }
    // One whose task is at its limit never gets here, also when there is nothing else.
    return best
  }

  #queueOf(entry: TaskEntry): ReadyQueue {
    if (entry.task.policy.concurrency === Number.POSITIVE_INFINITY) return this.#unlimited
    let queue = this.#limited.get(entry)
    if (queue === undefined) {
      queue = new ReadyQueue(this.#ageing)
      this.#limited.set(entry, queue)
    }
    return queue
  }
}
