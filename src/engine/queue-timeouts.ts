/** Jobs that wait too long for their first attempt. */
import { Timeline } from '../brokers/timeline.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { QueueTimeoutError } from '../words/errors.ts'
import { isTerminal } from '../words/job.ts'

/** One timer for all waits, counted from acceptance. */
export class QueueTimeouts {
  readonly #timeline: Timeline
  readonly #clock: Clock

  constructor(clock: Clock, expired: (job: JobRecord, error: Error) => void) {
    this.#clock = clock
    this.#timeline = new Timeline(
      clock,
      (job) => expired(job, new QueueTimeoutError(job.entry.task.name, limitOf(job))),
      (job) => job.attempts === 0 && !isTerminal(job.state),
    )
  }

  add(job: JobRecord, limit: number): void {
    this.#timeline.add(job, this.#clock.now() + limit)
  }

  /** A job that was sent to a thread came back unstarted: its time may have run out meanwhile, unseen. */
  again(job: JobRecord): void {
    const limit = limitOf(job)
    if (limit !== Number.POSITIVE_INFINITY) this.#timeline.add(job, job.acceptedAt + limit)
  }

  close(): void {
    this.#timeline.close()
  }
}

function limitOf(job: JobRecord): number {
  return job.extras?.queueTimeout ?? job.entry.task.policy.queueTimeout
}
