/** The jobs that belong to this process for the time being, and the timer that renews their leases. */
import type { JobRecord } from '../../../rules/job-record.ts'
import type { Clock } from '../../../words/clock.ts'
import type { StoredAttempt } from '../store/progress-mark.ts'
import type { LeaseRef } from '../store/shared-store.ts'
import type { StoredData } from '../store/stored-job.ts'
import type { FetchLoop } from './fetch-loop.ts'

/** One job's belonging to this process. */
export interface Lease extends LeaseRef {
  readonly job: JobRecord
  readonly loop: FetchLoop
  readonly data: StoredData
  /** Attempts before this lease. */
  readonly attempts: number
  /** The attempts that are over, oldest first. */
  readonly history: StoredAttempt[]
  /** Another process accepted it. */
  readonly isForeign: boolean
  /** When it was last known to be ours, on the monotonic clock. */
  renewedAt: number
  /** When it came to wait for a thread here. */
  bufferedAt: number
  /** When a thread took it. */
  claimedAt: number
  /** It is on record that an attempt is under way. */
  isStartRecorded: boolean
  /** It is ours no more. */
  isLost: boolean
  /** What became of the job here is on its way to the store, which has the last word on whose it is. */
  isEnding: boolean
  /** Milliseconds that the attempt took which ended the job. */
  ran: number
}

/** All leases of this process. */
export class Leases {
  readonly byJob = new Map<JobRecord, Lease>()
  readonly byId = new Map<string, Lease>()
  readonly #all = new Set<Lease>()
  readonly #clock: Clock
  readonly #length: number
  readonly #lost: (lease: Lease) => void
  #stopTimer: (() => void) | undefined
  #isClosed = false

  /** `lost` is called for each lease that could not be renewed. */
  constructor(clock: Clock, length: number, lost: (lease: Lease) => void) {
    this.#clock = clock
    this.#length = length
    this.#lost = lost
    this.#arm()
  }

  add(lease: Lease): void {
    this.byJob.set(lease.job, lease)
    this.byId.set(lease.id, lease)
    this.#all.add(lease)
    lease.loop.leased++
  }

  has(lease: Lease): boolean {
    return this.#all.has(lease)
  }

  drop(lease: Lease): void {
    // The job may have been fetched again before the answer came that it was postponed.
    if (this.byJob.get(lease.job) === lease) this.byJob.delete(lease.job)
    if (this.byId.get(lease.id) === lease) this.byId.delete(lease.id)
    if (this.#all.delete(lease)) lease.loop.leased--
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
  }

  #arm(): void {
    // Three tries within a lease: one lost message costs nothing.
    if (!this.#isClosed) this.#stopTimer = this.#clock.timer(this.#length / 3, () => this.#look())
  }

  #look(): void {
    const now = this.#clock.now()
    for (const lease of this.byJob.values()) {
      // Nobody may have confirmed it for its whole length: from now on another process may have the job.
      if (!lease.isEnding && now - lease.renewedAt >= this.#length) this.#lose(lease)
    }
    this.#arm()
    void this.renew()
  }

  /** Renews every lease. Also called right after a reconnect, before other processes may reclaim expired jobs. */
  async renew(): Promise<void> {
    const loops = Map.groupBy(this.byJob.values(), ({ loop }) => loop)
    const begun = this.#clock.now()
    await Promise.all(
      [...loops].map(async ([loop, leases]) => {
        const ours = leases.filter(({ isLost }) => !isLost)
        if (ours.length === 0) return
        const failed = new Set(await loop.source.renew(ours, this.#length))
        for (const lease of ours) {
          if (this.byJob.get(lease.job) !== lease) continue
          if (failed.has(lease.id)) this.#lose(lease)
          else lease.renewedAt = begun
        }
      }),
    ).catch(() => {})
  }

  #lose(lease: Lease): void {
    if (lease.isLost) return
    lease.isLost = true
    this.#lost(lease)
  }
}
