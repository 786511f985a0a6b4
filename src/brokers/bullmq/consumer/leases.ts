/**
 * The jobs that belong to this process for the time being: their leases are renewed, and it is put on record which of them
 * have begun. BullMQ only knows that a job was fetched; when a process dies, the jobs that it ran are charged with a crash,
 * and those that waited for a thread there are not. To record every start would cost as much as to fetch the job, so it is
 * done for attempts that take a while. Of a job that may have brought a process down before, and where a crash is the end,
 * the start is recorded before the attempt begins.
 */
import type { JobRecord } from '../../../rules/job-record.ts'
import type { Clock } from '../../../words/clock.ts'
import { every } from '../../lifecycle/every.ts'
import type { Retries, WriteWatch } from '../../lifecycle/retries.ts'
import { type StoredAttempt, toStacktrace } from '../store/progress-mark.ts'
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

/** Tries to renew within a lease: one lost message costs nothing. */
export const RENEWALS = 3

// An attempt that has run for so many milliseconds is recorded.
const RECORD_AFTER = 100

/** All leases of this process. */
export class Leases {
  readonly byJob = new Map<JobRecord, Lease>()
  readonly byId = new Map<string, Lease>()
  readonly #all = new Set<Lease>()
  readonly #clock: Clock
  readonly #retries: Retries
  readonly #length: number
  readonly #lost: (lease: Lease) => void
  readonly #stop: () => void
  #stopRecording: (() => void) | undefined
  /** Set by whoever wants to hear of renewals that fail. */
  watch: WriteWatch | undefined
  #isClosed = false

  /** `length` of a lease in milliseconds. `lost` is called for each that could not be renewed. */
  constructor(clock: Clock, retries: Retries, length: number, lost: (lease: Lease) => void) {
    this.#clock = clock
    this.#retries = retries
    this.#length = length
    this.#lost = lost
    this.#stop = every(clock, length / RENEWALS, () => this.#look())
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
    this.#stop()
    this.stopRecording()
    this.watch?.passed(this)
  }

  /** No more starts are recorded. */
  stopRecording(): void {
    this.#isClosed = true
    this.#stopRecording?.()
  }

  // ── Starts ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * False for a job whose lease nobody has confirmed for its whole length, as in a process that was suspended and has not
   * looked at its leases yet: another process may run the job, so that the lease is lost.
   */
  isSure(job: JobRecord): boolean {
    const lease = this.byJob.get(job)
    if (lease === undefined || this.#clock.now() - lease.renewedAt < this.#length) return true
    this.#lose(lease)
    return false
  }

  /** A thread has taken a job. */
  claimed(lease: Lease): void {
    lease.claimedAt = this.#clock.now()
    this.#armRecording()
  }

  /** An attempt did not begin after all, or does not count. */
  takeBack(lease: Lease): void {
    if (!lease.isStartRecorded) return
    lease.isStartRecorded = false
    // Should the lease be lost, whoever has the job now has written its own.
    this.#record(lease).catch(() => {})
  }

  /** Records that an attempt begins. Rejects when the lease is lost. */
  recordStart(lease: Lease): Promise<void> {
    lease.isStartRecorded = true
    return this.#record(lease)
  }

  #armRecording(): void {
    if (this.#isClosed) return
    this.#stopRecording ??= this.#clock.timer(RECORD_AFTER, () => {
      this.#stopRecording = undefined
      const before = this.#clock.now() - RECORD_AFTER
      for (const lease of this.byJob.values()) {
        if (lease.isStartRecorded || lease.isLost || lease.job.state !== 'running') continue
        if (lease.claimedAt > before) this.#armRecording()
        // Whether the lease is lost is found out when it is renewed.
        else this.recordStart(lease).catch(() => {})
      }
    })
  }

  #record(lease: Lease): Promise<void> {
    const { job, attempts, stalls, history } = lease
    return this.#retries.retry(() => {
      // As it is by now: of two notes that are tried again, either may be the last.
      const left = toStacktrace(job, { attempts, stalls, history, isRunning: lease.isStartRecorded })
      return lease.loop.source.note(lease, left)
    })
  }

  // ── Renewal ────────────────────────────────────────────────────────────────────────────────────────────────────

  #look(): void {
    const now = this.#clock.now()
    for (const lease of this.byJob.values()) {
      // Nobody may have confirmed it for its whole length: from now on another process may have the job.
      if (!lease.isEnding && now - lease.renewedAt >= this.#length) this.#lose(lease)
    }
    void this.renew()
  }

  /** Renews every lease. Also called right after a reconnect, before other processes may reclaim expired jobs. */
  async renew(): Promise<void> {
    const loops = Map.groupBy(this.byJob.values(), ({ loop }) => loop)
    const begun = this.#clock.now()
    const renewals = Promise.all(
      [...loops].map(async ([loop, leases]) => {
        // A job that was given back may have come again before the answer to that: its new lease is the one that counts.
        const ours = leases.filter((lease) => !lease.isLost && this.byId.get(lease.id) === lease)
        if (ours.length === 0) return
        const failed = new Set(await loop.source.renew(ours, this.#length))
        for (const lease of ours) {
          if (this.byJob.get(lease.job) !== lease) continue
          if (failed.has(lease.id)) this.#lose(lease)
          else lease.renewedAt = begun
        }
      }),
    )
    // A store that is away is asked again in a third of a lease, and as soon as it is back.
    await renewals.then(
      () => this.watch?.passed(this),
      (error: unknown) => this.watch?.failed(this, error),
    )
  }

  #lose(lease: Lease): void {
    if (lease.isLost) return
    lease.isLost = true
    this.#lost(lease)
  }
}
