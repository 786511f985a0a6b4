/** Who holds which unique key: for as long as the job is pending, or waits, or for a time from its acceptance. */
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { isTerminal } from '../words/job.ts'
import { Heap } from './heap.ts'

/** Unique keys and their holders. Keys that ran out are let go as others come, so there is no timer. */
export class UniqueKeys {
  readonly #holders = new Map<string, JobRecord>()
  readonly #timed = new Heap<JobRecord>((a, b) => until(a) - until(b))
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The job takes its unique key. */
  hold(key: string, job: JobRecord): void {
    this.#holders.set(key, job)
    if (until(job) === Number.POSITIVE_INFINITY) return
    this.#timed.push(job)
    const now = this.#clock.now()
    for (
      let oldest = this.#timed.peek();
      oldest !== undefined && until(oldest) <= now;
      oldest = this.#timed.peek()
    ) {
      this.#timed.pop()
      this.#drop(oldest)
    }
  }

  /** The job that holds a key now. */
  holder(key: string): JobRecord | undefined {
    const job = this.#holders.get(key)
    if (job === undefined) return undefined
    if (hasLetGo(job)) return undefined
    const isTimed = until(job) !== Number.POSITIVE_INFINITY
    return (isTimed ? this.#clock.now() < until(job) : !isTerminal(job.state)) ? job : undefined
  }

  /** The job that held a key until it started, and is not over: where keys are written down, it still has it. */
  formerHolder(key: string): JobRecord | undefined {
    const job = this.#holders.get(key)
    return job !== undefined && hasLetGo(job) && !isTerminal(job.state) ? job : undefined
  }

  /** The job is over: it lets go of its key, unless it holds it for a time. */
  over(job: JobRecord): void {
    if (until(job) === Number.POSITIVE_INFINITY) this.#drop(job)
  }

  #drop(job: JobRecord): void {
    const key = job.extras?.uniqueKey
    if (key !== undefined && this.#holders.get(key) === job) this.#holders.delete(key)
  }
}

function until(job: JobRecord): number {
  return job.extras?.uniqueUntil ?? Number.POSITIVE_INFINITY
}

/** Unique only until its first attempt started, which it has. */
function hasLetGo({ extras, state, attempts }: JobRecord): boolean {
  return extras?.uniqueWhile === 'waiting' && (state === 'running' || state === 'retryable' || attempts > 0)
}
