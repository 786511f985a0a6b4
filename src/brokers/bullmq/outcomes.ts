/** Outcomes of jobs that this process has: written until the store has them, or until it says that the job is not ours. */
import type { JobJson } from 'bullmq'
import { BATCH_FAILED } from '../../rules/journal-protocol.ts'
import type { JobState } from '../../words/job.ts'
import type { Ended } from '../broker.ts'
import type { Fetched } from './fetcher.ts'
import { hasLapsed, isNotOurs } from './insist.ts'
import type { Lease } from './leases.ts'
import { lineOfKey, memberOf } from './lines.ts'
import { failedReason, type StoredData, type StoredEnd, toEnd, toReturnValue } from './stored-job.ts'
import { markOf, toMark, toStacktrace } from './stored-progress.ts'
import type { WorkHost, WorkParts } from './work.ts'

/** What outcomes need of the work. */
export interface OutcomesHost {
  /** Another job may be fetched in the same step. */
  mayFetch(lease: Lease): boolean
  /** The end is written; perhaps another job has come with the answer. */
  written(lease: Lease, next: Fetched): void
  /** The job is not with this process any more. */
  letGo(lease: Lease): void
}

/** How an attempt went, and how that is written. */
interface Outcome<T> {
  readonly lease: Lease
  readonly state: JobState
  readonly write: () => Promise<T>
  /** Whether it is written, by what the store has of the job. */
  readonly isIn: (json: JobJson) => boolean
}

/** Writes how attempts went. */
export class Outcomes {
  readonly #parts: WorkParts
  readonly #broker: WorkHost
  readonly #work: OutcomesHost
  /** Outcomes that the store has refused. */
  fenced = 0

  constructor(parts: WorkParts, broker: WorkHost, work: OutcomesHost) {
    this.#parts = parts
    this.#broker = broker
    this.#work = work
  }

  /** The job is to be tried again. */
  retry(lease: Lease, dueAt: number): void {
    const { id, token, feed, job } = lease
    const delay = Math.max(0, Math.round(dueAt - this.#broker.host.clock.now()))
    const stacktrace = this.#left(lease)
    const fieldsToUpdate = { failedReason: failedReason(job), stacktrace }
    const write = (): Promise<unknown> =>
      feed.backend.moveToDelayed(id, Date.now(), delay, token, {
        skipAttempt: true,
        fieldsToUpdate,
      }) as Promise<unknown>
    const mark = markOf({ stacktrace })
    const isIn = (json: JobJson): boolean => markOf(json) === mark
    this.#insist({ lease, state: 'retryable', write, isIn }, () => this.#work.letGo(lease))
  }

  /** The job is over. */
  end(lease: Lease, ended: Ended): void {
    lease.job.more.isUntold = true
    const write = (): Promise<Fetched> => this.#write(lease, ended)
    const isIn = (json: JobJson): boolean => json.finishedOn !== undefined
    this.#insist({ lease, state: ended.state, write, isIn }, (next) =>
      this.#written(lease, ended, next ?? []),
    )
  }

  /** `written` is told when the store has taken the outcome, as far as its answer has come: with it. */
  #insist<T>(outcome: Outcome<T>, written: (answer: T | undefined) => void): void {
    const { lease, state } = outcome
    if (lease.isLost) return this.#fenced(lease, state)
    lease.isEnding = true
    this.#parts.writes
      .insist(() => this.#tryToWrite(outcome))
      .then(written, (error: unknown) => {
        if (isNotOurs(error)) this.#fenced(lease, state)
        else this.#letGo(lease)
      })
  }

  async #tryToWrite<T>({ lease, write, isIn }: Outcome<T>): Promise<T | undefined> {
    try {
      return await write()
    } catch (error) {
      if (!isNotOurs(error)) throw error
      // The answer to an earlier try may have got lost on the way, also where the connection tries again by itself.
      if (await this.#isWritten(lease, isIn)) return undefined
      if (!hasLapsed(error)) throw error
      const { lease: length } = this.#parts.settings
      if ((await lease.feed.fetcher.renew([lease], length)).length > 0) throw error
      return write()
    }
  }

  async #isWritten(lease: Lease, isIn: (json: JobJson) => boolean): Promise<boolean> {
    const { feed, id, starts, renewedAt } = lease
    const json = await feed.backend.getJobData(id)
    // Nothing is kept of it. As long as our lease lasts, nobody else can have ended it.
    if (!json) return this.#broker.host.clock.now() - renewedAt < this.#parts.settings.lease
    return Number(json.attemptsStarted) === starts && isIn(json)
  }

  async #write(lease: Lease, ended: Ended): Promise<Fetched> {
    const { job, id, feed, token } = lease
    if (ended.state === 'completed') {
      const value = toReturnValue(job, ended.result)
      const fetchNext = this.#work.mayFetch(lease) && feed.begin()
      try {
        return await feed.fetcher.complete({ id, token, value, fetchNext })
      } finally {
        if (fetchNext) feed.over()
      }
    }
    const isDead = ended.state === 'dead'
    if (!isDead) await this.#parts.ended.put(id, job.entry.task.name, this.#endOf(lease, ended))
    const reason = failedReason(job)
    const fields = { failedReason: reason, stacktrace: this.#left(lease) }
    // BullMQ's failed jobs are our dead ones; what ended otherwise is kept apart.
    const bull = { id, opts: { attempts: 1 } } as never
    await feed.backend.moveToFailed(bull, reason, (isDead ? undefined : true) as never, token, false, fields)
    return []
  }

  #left({ job, stalls, history }: Lease): string {
    return toStacktrace(job, { attempts: job.attempts, stalls, history, isRunning: false })
  }

  #endOf(lease: Lease, ended: Ended): StoredData & { end: StoredEnd } {
    const { job, data, feed, stalls, history } = lease
    const errors = job.extras?.errors ?? []
    // Its last error is that of the end.
    const earlier = ended.error === undefined ? errors : errors.slice(0, -1)
    const past = toMark(job, { attempts: job.attempts, stalls, history, isRunning: false }, earlier)
    const end = toEnd(job.attempts, feed.queue, this.#broker.host.clock.wall(), ended, past)
    return { ...data, p: undefined, b: undefined, past: undefined, end }
  }

  #written(lease: Lease, ended: Ended, next: Fetched): void {
    this.#work.written(lease, next)
    this.#leaveLines(lease, ended)
    lease.job.more.isUntold = false
    this.#broker.ended(lease.job, lease.id, lease.data)
  }

  #leaveLines({ job, data, feed, id }: Lease, { state, reason }: Ended): void {
    const member = memberOf(feed.queue, id)
    const line = data.line ?? this.#broker.lineOf(job)
    const stops = reason === BATCH_FAILED || (state === 'dead' && data.stops === true)
    const { writes, lines } = this.#parts
    if (line !== undefined) writes.insist(() => lines.leave(line, member, stops)).catch(() => {})
    const { key } = data
    if (key !== undefined) writes.insist(() => lines.leave(lineOfKey(key), member, false)).catch(() => {})
  }

  /** The store did not take the outcome: the job is not ours any more, and what it has done here does not count. */
  #fenced(lease: Lease, state: JobState): void {
    this.#letGo(lease)
    this.fenced++
    this.#broker.host.fenced?.(lease.job, state)
  }

  #letGo(lease: Lease): void {
    const { job } = lease
    job.more.isUntold = false
    job.state = 'available'
    this.#work.letGo(lease)
  }
}
