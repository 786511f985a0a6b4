/**
 * The jobs of one pool that can run now, best first. Jobs of a task with a limit of its own wait in a queue apart, so
 * that a task at its limit stands in nobody's way, and its jobs keep their order among themselves, however many wait.
 * So do the jobs of a task that is held back, once they would come first.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { ReadyQueue } from './ready-queue.ts'

/** The available jobs of one pool. */
export class PoolQueue {
  readonly #others: ReadyQueue
  readonly #apart = new Map<TaskEntry, ReadyQueue>()
  readonly #held = new Set<TaskEntry>()
  readonly #ageing: number
  readonly #mayRun: (entry: TaskEntry) => boolean

  /** `mayRun` tells whether a task that has a limit is below it. */
  constructor(ageing: number, mayRun: (entry: TaskEntry) => boolean) {
    this.#ageing = ageing
    this.#others = new ReadyQueue(ageing)
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

  /** The priority of a job that waits here is another by now. */
  moved(job: JobRecord): void {
    this.left(job)
    this.putBack(job)
  }

  /** A job that waited here does not for now: should it come again, its old place is not the new one. */
  left(job: JobRecord): void {
    job.more.isInRing = true
    this.ended(job)
  }

  /** A job that waited here has ended without being taken. */
  ended(job: JobRecord): void {
    // It may have come before its task was set apart.
    this.#others.ended()
    this.#apart.get(job.entry)?.ended()
  }

  /** The job to run next, left where it is. */
  peek(): JobRecord | undefined {
    return this.#best().peek()
  }

  /** Takes the job to run next. */
  take(): JobRecord | undefined {
    return this.#best().take()
  }

  /** While a task is held, its jobs stay here and are not shown; the others pass them. */
  hold(entry: TaskEntry, isHeld: boolean): void {
    if (isHeld) this.#held.add(entry)
    else this.#held.delete(entry)
  }

  /** The queue whose first job goes before those of the others. */
  #best(): ReadyQueue {
    let best = this.#others
    if (this.#held.size > 0) this.#setAside()
    if (this.#apart.size === 0) return best
    let first = best.peek()
    for (const [entry, queue] of this.#apart) {
      const job = queue.peek()
      if (job === undefined) this.#tidy(entry)
      else if (!this.#held.has(entry) && this.#mayRun(entry)) {
        if (first !== undefined && !queue.isBefore(job, first)) continue
        best = queue
        first = job
      }
    }
    // One whose task is at its limit never gets here, also when there is nothing else.
    return best
  }

  /** Makes way for whoever stands behind jobs of a held task. */
  #setAside(): void {
    for (let job = this.#others.peek(); job !== undefined; job = this.#others.peek()) {
      if (!this.#held.has(job.entry)) return
      this.#others.take()
      this.#queueApart(job.entry).putBack(job)
    }
  }

  /** What is apart costs every look: a task without a limit is apart only while it has to be. */
  #tidy(entry: TaskEntry): void {
    if (entry.task.policy.concurrency === Number.POSITIVE_INFINITY) this.#apart.delete(entry)
  }

  #queueOf(entry: TaskEntry): ReadyQueue {
    const isApart = this.#apart.size > 0 && this.#apart.has(entry)
    if (entry.task.policy.concurrency === Number.POSITIVE_INFINITY && !isApart) return this.#others
    return this.#queueApart(entry)
  }

  #queueApart(entry: TaskEntry): ReadyQueue {
    let queue = this.#apart.get(entry)
    if (queue === undefined) {
      queue = new ReadyQueue(this.#ageing)
      this.#apart.set(entry, queue)
    }
    return queue
  }
}
