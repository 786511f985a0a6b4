/** Jobs that wait too long for their first attempt. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import { QueueTimeoutError } from '../../words/errors.ts'
import { isTerminal } from '../../words/job.ts'
import type { Ending } from '../port/attempt.ts'
import { Timeline } from '../structures/timeline.ts'

/** One timer for all waits, counted from acceptance. */
export class QueueTimeouts {
  readonly #timeline: Timeline

  /** `expired` ends a job that has waited too long. */
  constructor(clock: Clock, expired: (job: JobRecord) => void) {
    // A job that is with a thread keeps its place: it may come back unstarted. When its time passes there, who puts it
    // back asks `hasWaitedTooLong`, which reckons from the same moment.
    const due = (job: JobRecord): void => {
      if (waits(job)) expired(job)
    }
    this.#timeline = new Timeline(clock, due, (job) => !isTerminal(job.state))
  }

  /** A job was accepted, and has a limit. */
  add(job: JobRecord): void {
    const limit = limitOf(job)
    if (limit !== Number.POSITIVE_INFINITY) this.#timeline.add(job, job.acceptedAt + limit)
  }

  /** The job is over: it waits here no more. */
  over(job: JobRecord): void {
    if (limitOf(job) !== Number.POSITIVE_INFINITY) this.#timeline.left()
  }

  close(): void {
    this.#timeline.close()
  }
}

/** Whether a job may wait too long at all. */
export function isLimited(job: JobRecord): boolean {
  return limitOf(job) !== Number.POSITIVE_INFINITY
}

/**
 * True when the limit of a job that came back unstarted ran out while it was with a thread. It is to be ended at once: a
 * timer would let it be sent to the next free thread first.
 */
export function hasWaitedTooLong(job: JobRecord, now: number): boolean {
  const limit = limitOf(job)
  return limit !== Number.POSITIVE_INFINITY && waits(job) && job.acceptedAt + limit <= now
}

/** The end of a job that has waited too long. */
export function expiry(job: JobRecord): Ending {
  return { state: 'dead', error: new QueueTimeoutError(job.entry.task.name, limitOf(job)) }
}

/** A dead job that has started over has waited before. */
function waits({ attempts, extras }: JobRecord): boolean {
  return attempts === 0 && extras?.isRevived !== true
}

function limitOf(job: JobRecord): number {
  return job.extras?.queueTimeout ?? job.entry.task.policy.queueTimeout
}
