/**
 * Attempts that are on record as begun. BullMQ only knows that a job was fetched; when a process dies, the jobs that it
 * ran are charged with a crash, and those that waited for a thread there are not. To write every start down would cost
 * as much as to fetch the job, so it is done for attempts that take a while. Of one that may have brought a process down
 * before, and where a crash is the end, it is done before the start.
 */
import type { Clock } from '../../words/clock.ts'
import type { Writes } from './insist.ts'
import type { Lease, Leases } from './leases.ts'
import type { Store } from './store.ts'
import { toStacktrace } from './stored-progress.ts'

// An attempt that has run for so many milliseconds is put on record.
const BEGUN_AFTER = 100

/** Puts the starts of attempts on record. */
export class Begun {
  readonly #store: Store
  readonly #writes: Writes
  readonly #clock: Clock
  readonly #leases: Leases
  #stopTimer: (() => void) | undefined
  #isClosed = false

  constructor(store: Store, writes: Writes, clock: Clock, leases: Leases) {
    this.#store = store
    this.#writes = writes
    this.#clock = clock
    this.#leases = leases
  }

  /** A thread has taken a job. */
  claimed(lease: Lease): void {
    lease.claimedAt = this.#clock.now()
    if (this.#stopTimer === undefined) this.#arm()
  }

  /** An attempt did not begin after all, or does not count. */
  async over(lease: Lease): Promise<void> {
    if (!lease.isMarked) return
    lease.isMarked = false
    await this.#write(lease).catch(() => {})
  }

  /** Has it written that an attempt begins. Rejects when the lease is lost. */
  async mark(lease: Lease): Promise<void> {
    lease.isMarked = true
    await this.#write(lease)
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
  }

  #arm(): void {
    if (this.#isClosed) return
    this.#stopTimer = this.#clock.timer(BEGUN_AFTER, () => {
      this.#stopTimer = undefined
      if (this.#look()) this.#arm()
    })
  }

  /** True when there is something to look at later. */
  #look(): boolean {
    const before = this.#clock.now() - BEGUN_AFTER
    let isToLook = false
    for (const lease of this.#leases.byJob.values()) {
      if (lease.isMarked || lease.isLost || lease.job.state !== 'running') continue
      if (lease.claimedAt > before) isToLook = true
      // Whether the lease is lost is found out when it is renewed.
      else void this.mark(lease).catch(() => {})
    }
    return isToLook
  }

  #write(lease: Lease): Promise<void> {
    const { job, id, feed, token, attempts, stalls, history, isMarked } = lease
    const left = toStacktrace(job, { attempts, stalls, history, isRunning: isMarked })
    return this.#writes.insist(() => this.#store.note(feed.queue, id, token, left))
  }
}
