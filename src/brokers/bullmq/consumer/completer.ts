/** Writes how attempts went, until the store has it, or until it says that the job is not ours. */
import { BATCH_FAILED } from '../../../rules/journal-protocol.ts'
import { Moved } from '../../../rules/moved.ts'
import type { Clock } from '../../../words/clock.ts'
import type { JobState } from '../../../words/job.ts'
import type { Retries } from '../../lifecycle/retries.ts'
import type { Ending } from '../../port/attempt.ts'
import { failedReason } from '../store/job-data.ts'
import { markOf, progressOf, type StoredProgress, toStacktrace } from '../store/progress-mark.ts'
import { hasLapsed, isRefusal } from '../store/refusals.ts'
import { type Claimed, type LeftBehind, locksOf, type StoredEnding } from '../store/shared-store.ts'
import type { StoredJob } from '../store/stored-job.ts'
import type { Lease } from './leases.ts'

/** What this needs of the consumer. */
export interface CompleterHost {
  /** Another job may be fetched in the same step. */
  mayFetch(lease: Lease): boolean
  /** The lock of the job's batch. */
  lineOf(lease: Lease): string | undefined
  /**
   * The end is written; perhaps another job has come with the answer to what the store was asked at a time on the
   * monotonic clock.
   */
  written(lease: Lease, next: Claimed | undefined, askedAt: number): void
  /** The end is known everywhere. */
  ended(lease: Lease): void
  /** The job is not with this process any more. */
  letGo(lease: Lease): void
  /** The same, and what became of it here does not count. */
  giveUp(lease: Lease): void
  /** The store has refused an outcome: the job was not ours any more. */
  fenced(lease: Lease, state: JobState): void
}

/** How an attempt went, and how that is written. */
interface Outcome {
  readonly lease: Lease
  readonly state: JobState
  /** Resolves to a job that came with the answer. */
  readonly write: () => Promise<Claimed | undefined>
  /** Whether it is written, by what the store has of the job. */
  readonly isIn: (seen: Pick<StoredJob, 'endedAt' | 'mark'>) => boolean
}

/** Writes outcomes. */
export class Completer {
  readonly #retries: Retries
  readonly #clock: Clock
  readonly #length: number
  readonly #host: CompleterHost

  /** `length`: of a lease, in milliseconds. */
  constructor(retries: Retries, clock: Clock, length: number, host: CompleterHost) {
    this.#retries = retries
    this.#clock = clock
    this.#length = length
    this.#host = host
  }

  /** The job is to be tried again. */
  retry(lease: Lease, dueAt: number): void {
    const delay = Math.max(0, Math.round(dueAt - this.#clock.now()))
    const left = leftBy(lease)
    const write = async (): Promise<undefined> => void (await lease.loop.source.postpone(lease, delay, left))
    const mark = markOf(left.stacktrace)
    const isIn: Outcome['isIn'] = (seen) => seen.mark === mark
    this.#write({ lease, state: 'retryable', write, isIn }, () => this.#host.letGo(lease))
  }

  /** The job is over. */
  end(lease: Lease, ended: Ending): void {
    lease.job.more.isUnreported = true
    const write = (): Promise<Claimed | undefined> => this.#end(lease, ended)
    // Another process may have ended it otherwise.
    const isIn: Outcome['isIn'] = ({ endedAt, mark }) =>
      endedAt !== undefined && (progressOf(mark).end?.[0] ?? 'completed') === ended.state
    const askedAt = this.#clock.now()
    this.#write({ lease, state: ended.state, write, isIn }, (next) => {
      this.#host.written(lease, next, askedAt)
      lease.job.more.isUnreported = false
      this.#host.ended(lease)
    })
  }

  /** `written` is called when the store has taken the outcome. */
  #write(outcome: Outcome, written: (next: Claimed | undefined) => void): void {
    const { lease, state } = outcome
    if (lease.isLost) return this.#refused(lease, state)
    lease.isEnding = true
    this.#retries
      .retry(() => this.#tryToWrite(outcome))
      .then(written, (error: unknown) => {
        if (isRefusal(error)) this.#refused(lease, state)
        else this.#host.giveUp(lease)
      })
  }

  async #tryToWrite({ lease, write, isIn }: Outcome): Promise<Claimed | undefined> {
    try {
      return await write()
    } catch (error) {
      if (!isRefusal(error)) throw error
      // The answer to an earlier try may have got lost on the way, also where the connection tries again by itself.
      if (await this.#isWritten(lease, isIn)) return this.#cameWith(lease)
      if (!hasLapsed(error)) throw error
      if ((await lease.loop.source.renew([lease], this.#length)).length > 0) throw error
      return write()
    }
  }

  /** The job that came with an answer which got lost. */
  async #cameWith({ loop, id, token }: Lease): Promise<Claimed | undefined> {
    return (await loop.source.claimedUnder([token])).find(({ job }) => job.id !== id)
  }

  async #isWritten({ loop, id, starts, renewedAt }: Lease, isIn: Outcome['isIn']): Promise<boolean> {
    const seen = await loop.source.seen(id)
    // Nothing is kept of it. As long as our lease lasts, nobody else can have ended it.
    if (seen === undefined) return this.#clock.now() - renewedAt < this.#length
    return seen.starts === starts && isIn(seen)
  }

  async #end(lease: Lease, { state, result, reason }: Ending): Promise<Claimed | undefined> {
    const { data, loop } = lease
    const fetchNext = this.#host.mayFetch(lease) && loop.beginWithEnd()
    const end: StoredProgress['end'] = reason === undefined ? [state] : [state, reason]
    const ending: StoredEnding = {
      ...{ state, fetchNext, locks: locksOf(data, this.#host.lineOf(lease)) },
      stops: reason === BATCH_FAILED || (state === 'dead' && data.stops === true),
      ...(state === 'completed'
        ? { result: result instanceof Moved ? result.plain('the result') : result }
        : { left: leftBy(lease, end) }),
    }
    try {
      return await loop.source.end(lease, ending)
    } finally {
      if (fetchNext) loop.overWithEnd()
    }
  }

  /** The job is not ours any more, and what it has done here does not count. */
  #refused(lease: Lease, state: JobState): void {
    this.#host.giveUp(lease)
    this.#host.fenced(lease, state)
  }
}

/** What the attempts of a job leave behind; `end`: how it ended. */
function leftBy({ job, stalls, history }: Lease, end?: StoredProgress['end']): LeftBehind {
  const left = { attempts: job.attempts, stalls, history, isRunning: false, ...(end && { end }) }
  return { reason: failedReason(job), stacktrace: toStacktrace(job, left) }
}
