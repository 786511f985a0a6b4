/**
 * Attempts that are on record as begun. BullMQ only knows that a job was fetched; when a process dies, the jobs that it
 * ran are charged with a crash, and those that waited for a thread there are not. To record every start would cost as much
 * as to fetch the job, so it is done for attempts that take a while. Of a job that may have brought a process down before,
 * and where a crash is the end, the start is recorded before the attempt begins.
 */
import type { Clock } from '../../../words/clock.ts'
import { toStacktrace } from '../store/progress-mark.ts'
import type { Retries } from '../store/retry.ts'
import type { Lease, Leases } from './leases.ts'

// An attempt that has run for so many milliseconds is recorded.
const RECORD_AFTER = 100

/** Records the starts of attempts. */
export class StartLog {
  readonly #retries: Retries
  readonly #clock: Clock
  readonly #leases: Leases
  #stopTimer: (() => void) | undefined
  #isClosed = false

  constructor(retries: Retries, clock: Clock, leases: Leases) {
    this.#retries = retries
    this.#clock = clock
    this.#leases = leases
  }

  /** A thread has taken a job. */
  claimed(lease: Lease): void {
    lease.claimedAt = this.#clock.now()
    if (this.#stopTimer === undefined) this.#arm()
  }

  /** An attempt did not begin after all, or does not count. */
  takeBack(lease: Lease): void {
    if (!lease.isStartRecorded) return
    lease.isStartRecorded = false
    this.#write(lease).catch(() => {})
  }

  /** Records that an attempt begins. Rejects when the lease is lost. */
  record(lease: Lease): Promise<void> {
    lease.isStartRecorded = true
    return this.#write(lease)
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
  }

  #arm(): void {
    if (this.#isClosed) return
    this.#stopTimer = this.#clock.timer(RECORD_AFTER, () => {
      this.#stopTimer = undefined
      if (this.#look()) this.#arm()
    })
  }

  /** True when there is something to look at later. */
  #look(): boolean {
    const before = this.#clock.now() - RECORD_AFTER
    let isToLook = false
    for (const lease of this.#leases.byJob.values()) {
      if (lease.isStartRecorded || lease.isLost || lease.job.state !== 'running') continue
      if (lease.claimedAt > before) isToLook = true
      // Whether the lease is lost is found out when it is renewed.
      else this.record(lease).catch(() => {})
    }
    return isToLook
  }

  #write(lease: Lease): Promise<void> {
    const { job, attempts, stalls, history, isStartRecorded } = lease
    const left = toStacktrace(job, { attempts, stalls, history, isRunning: isStartRecorded })
    return this.#retries.retry(() => lease.loop.source.note(lease, left))
  }
}
