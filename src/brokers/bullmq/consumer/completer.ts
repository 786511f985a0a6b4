/** Writes how attempts went, until the store has it, or until it says that the job is not ours. */
import { BATCH_FAILED } from '../../../rules/journal-protocol.ts'
import type { Clock } from '../../../words/clock.ts'
import type { JobState } from '../../../words/job.ts'
import type { Ended } from '../../port/broker.ts'
import { failedReason, toEnd, toReturnValue } from '../store/job-data.ts'
import { markOf, toMark, toStacktrace } from '../store/progress-mark.ts'
import { hasLapsed, isRefusal } from '../store/refusals.ts'
import type { Retries } from '../store/retry.ts'
import { type Claimed, lockOfKey, type SharedStore } from '../store/shared-store.ts'
import type { StoredData, StoredEnd, StoredJob } from '../store/stored-job.ts'
import type { Lease } from './leases.ts'

/** What this needs of the consumer. */
export interface CompleterHost {
  /** Another job may be fetched in the same step. */
  mayFetch(lease: Lease): boolean
  /** The lock of the job's batch. */
  lineOf(lease: Lease): string | undefined
  /** The end is written; perhaps another job has come with the answer. */
  written(lease: Lease, next: Claimed | undefined): void
  /** The end is known everywhere. */
  ended(lease: Lease): void
  /** The job is not with this process any more. */
  letGo(lease: Lease): void
  /** The store has refused an outcome: the job was not ours any more. */
  fenced(lease: Lease, state: JobState): void
}

/** How an attempt went, and how that is written. */
interface Outcome<T> {
  readonly lease: Lease
  readonly state: JobState
  readonly write: () => Promise<T>
  /** Whether it is written, by what the store has of the job. */
  readonly isIn: (seen: Pick<StoredJob, 'endedAt' | 'mark'>) => boolean
}

/** Writes outcomes. */
export class Completer {
  readonly #store: SharedStore
  readonly #retries: Retries
  readonly #clock: Clock
  readonly #length: number
  readonly #host: CompleterHost

  /** `length`: of a lease, in milliseconds. */
  constructor(store: SharedStore, retries: Retries, clock: Clock, length: number, host: CompleterHost) {
    this.#store = store
    this.#retries = retries
    this.#clock = clock
    this.#length = length
    this.#host = host
  }

  /** The job is to be tried again. */
  retry(lease: Lease, dueAt: number): void {
    const delay = Math.max(0, Math.round(dueAt - this.#clock.now()))
    const left = { reason: failedReason(lease.job), stacktrace: stacktraceOf(lease) }
    const write = (): Promise<void> => lease.loop.source.postpone(lease, delay, left)
    const mark = markOf(left.stacktrace)
    const isIn: Outcome<void>['isIn'] = (seen) => seen.mark === mark
    this.#write({ lease, state: 'retryable', write, isIn }, () => this.#host.letGo(lease))
  }

  /** The job is over. */
  end(lease: Lease, ended: Ended): void {
    lease.job.more.isUntold = true
    const write = (): Promise<Claimed | undefined> => this.#end(lease, ended)
    const isIn: Outcome<void>['isIn'] = ({ endedAt }) => endedAt !== undefined
    this.#write({ lease, state: ended.state, write, isIn }, (next) => {
      this.#host.written(lease, next)
      this.#leaveLocks(lease, ended)
      lease.job.more.isUntold = false
      this.#host.ended(lease)
    })
  }

  /** `written` is called when the store has taken the outcome, with the answer as far as that has come. */
  #write<T>(outcome: Outcome<T>, written: (answer: T | undefined) => void): void {
    const { lease, state } = outcome
    if (lease.isLost) return this.#refused(lease, state)
    lease.isEnding = true
    this.#retries
      .retry(() => this.#tryToWrite(outcome))
      .then(written, (error: unknown) => {
        if (isRefusal(error)) this.#refused(lease, state)
        else this.#giveUp(lease)
      })
  }

  async #tryToWrite<T>({ lease, write, isIn }: Outcome<T>): Promise<T | undefined> {
    try {
      return await write()
    } catch (error) {
      if (!isRefusal(error)) throw error
      // The answer to an earlier try may have got lost on the way, also where the connection tries again by itself.
      if (await this.#isWritten(lease, isIn)) return undefined
      if (!hasLapsed(error)) throw error
      if ((await lease.loop.source.renew([lease], this.#length)).length > 0) throw error
      return write()
    }
  }

  async #isWritten({ loop, id, starts, renewedAt }: Lease, isIn: Outcome<void>['isIn']): Promise<boolean> {
    const seen = await loop.source.seen(id)
    // Nothing is kept of it. As long as our lease lasts, nobody else can have ended it.
    if (seen === undefined) return this.#clock.now() - renewedAt < this.#length
    return seen.starts === starts && isIn(seen)
  }

  async #end(lease: Lease, ended: Ended): Promise<Claimed | undefined> {
    const { job, loop, id, token } = lease
    if (ended.state === 'completed') {
      const result = toReturnValue(job, ended.result)
      const fetchNext = this.#host.mayFetch(lease) && loop.beginWithEnd()
      try {
        return await loop.source.complete({ id, token, result, fetchNext })
      } finally {
        if (fetchNext) loop.overWithEnd()
      }
    }
    const left = { reason: failedReason(job), stacktrace: stacktraceOf(lease) }
    const kept =
      ended.state === 'dead' ? {} : { kept: { name: job.entry.task.name, data: this.#dataOf(lease, ended) } }
    await loop.source.end(lease, { ...left, ...kept })
    return undefined
  }

  #dataOf(lease: Lease, ended: Ended): StoredData & { end: StoredEnd } {
    const { job, data, loop, stalls, history } = lease
    const errors = job.extras?.errors ?? []
    // Its last error is that of the end.
    const earlier = ended.error === undefined ? errors : errors.slice(0, -1)
    const past = toMark(job, { attempts: job.attempts, stalls, history, isRunning: false }, earlier)
    const end = toEnd(job.attempts, loop.of.queue, this.#clock.wall(), ended, past)
    return { ...data, p: undefined, b: undefined, past: undefined, end }
  }

  #leaveLocks(lease: Lease, { state, reason }: Ended): void {
    const { data, loop, id } = lease
    const line = this.#host.lineOf(lease)
    const stops = reason === BATCH_FAILED || (state === 'dead' && data.stops === true)
    if (line !== undefined) this.#retries.see(() => this.#store.leave(line, loop.of.queue, id, stops))
    const key = data.key === undefined ? undefined : lockOfKey(data.key)
    if (key !== undefined) this.#retries.see(() => this.#store.leave(key, loop.of.queue, id, false))
  }

  /** The job is not ours any more, and what it has done here does not count. */
  #refused(lease: Lease, state: JobState): void {
    this.#giveUp(lease)
    this.#host.fenced(lease, state)
  }

  #giveUp(lease: Lease): void {
    const { job } = lease
    job.more.isUntold = false
    job.state = 'available'
    this.#host.letGo(lease)
  }
}

function stacktraceOf({ job, stalls, history }: Lease): string {
  return toStacktrace(job, { attempts: job.attempts, stalls, history, isRunning: false })
}
