/** Jobs that wait too long for their first attempt. */
import { Timeline } from '../brokers/structures/timeline.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { QueueTimeoutError } from '../words/errors.ts'
import { isTerminal } from '../words/job.ts'

/** One timer for all waits, counted from acceptance. */
export class QueueTimeouts {
  readonly #timeline: Timeline
  readonly #clock: Clock
  readonly #expire: (job: JobRecord) => void

  constructor(clock: Clock, expired: (job: JobRecord, error: Error) => void) {
    this.#clock = clock
    this.#expire = (job) => expired(job, new QueueTimeoutError(job.entry.task.name, limitOf(job)))
    this.#timeline = new Timeline(clock, this.#expire, (job) => job.attempts === 0 && !isTerminal(job.state))
  }

  add(job: JobRecord, limit: number): void {
    this.#timeline.add(job, this.#clock.now() + limit)
  }

  /** A job that was sent to a thread came back unstarted: its time may have run out meanwhile, unseen. */
  again(job: JobRecord, isWatched = false): void {
    const at = job.acceptedAt + limitOf(job)
    if (at === Number.POSITIVE_INFINITY || job.attempts > 0) return
    // At once: a timer would let it be sent to the next free thread first.
    if (at <= this.#clock.now()) this.#expire(job)
    else if (!isWatched) this.#timeline.add(job, at)
  }

  /** The job is over: it waits here no more. */
  over(job: JobRecord): void {
    if (limitOf(job) !== Number.POSITIVE_INFINITY) this.#timeline.left()
  }

  close(): void {
    this.#timeline.close()
  }
}

function limitOf(job: JobRecord): number {
  return job.extras?.queueTimeout ?? job.entry.task.policy.queueTimeout
}
