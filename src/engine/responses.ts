/** What the end of a response does to jobs: for batches, and for jobs that several calls share. */
import type { AttemptSink, IntakeBroker } from '../brokers/port/broker.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { isTerminal } from '../words/job.ts'
import type { BatchOwner } from './batch.ts'
import { REPLACED } from './intake.ts'
import type { JobControl } from './job-control.ts'
import type { SharedJobsOwner } from './shared-jobs.ts'

/** What responses work with. */
export interface ResponseParts {
  readonly attempts: AttemptSink
  readonly intake: IntakeBroker
  readonly clock: Clock
  readonly jobs: JobControl
  /** Milliseconds that jobs wait for their handler to end after the client has left. */
  readonly handlerGrace: number
}

/** Releases jobs, or ends them unrun. */
export class Responses implements BatchOwner, SharedJobsOwner {
  readonly jobs: JobControl
  readonly #parts: ResponseParts

  constructor(parts: ResponseParts) {
    this.#parts = parts
    this.jobs = parts.jobs
  }

  /** The job may run; a delay counts from `since`. */
  release(job: JobRecord, since: number): void {
    const { extras } = job
    if (extras !== null) {
      extras.calledAt = undefined
      if (extras.delay !== undefined) extras.dueAt = since + extras.delay
      if (extras.takesKey !== undefined) this.#takeKey(job, extras.takesKey)
    }
    this.#parts.intake.release(job)
  }

  /** The response of a job that replaces is over: what holds its unique key and has not started makes way. */
  #takeKey(job: JobRecord, uniqueKey: string): void {
    if (isTerminal(job.state)) return
    const { intake } = this.#parts
    const holder = intake.holderOf(uniqueKey)
    if (holder !== undefined) this.jobs.cancel(holder, REPLACED)
    const { more } = job
    more.uniqueKey = uniqueKey
    more.takesKey = undefined
    intake.takeKey(job)
  }

  detach(job: JobRecord): void {
    this.#parts.intake.detach(job)
  }

  skip(job: JobRecord, reason: string): void {
    this.#parts.attempts.finish(job, { state: 'skipped', reason })
  }

  cancel(job: JobRecord, reason: unknown): boolean {
    return this.jobs.cancel(job, reason)
  }

  now(): number {
    return this.#parts.clock.now()
  }

  afterGrace(callback: () => void): () => void {
    return this.#parts.clock.timer(this.#parts.handlerGrace, callback)
  }
}
