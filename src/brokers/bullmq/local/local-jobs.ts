/**
 * The jobs that this process has accepted and that are not over. Each has one place, and this is the only part that says
 * where that is: everything that is asked of the broker is answered by the part that the job is with.
 *
 *   held ───────► buffered ──► writing ──► stored ◄──► leased
 *     (response open)   (waits to be written)      ▲
 *                                              reviving
 *
 * A job is leased while this process has fetched it, which hides where it is otherwise. From each place it can come to its
 * end; then it is not here any more.
 */
import type { JobRecord } from '../../../rules/job-record.ts'
import { DUPLICATE } from '../../../rules/journal-protocol.ts'
import { JobLostError } from '../../../words/errors.ts'
import { isTerminal } from '../../../words/job.ts'
import { applyEnding } from '../../lifecycle/ending.ts'
import { FinishedJobs } from '../../lifecycle/finished-jobs.ts'
import type { Ending } from '../../port/attempt.ts'
import type { BrokerHost } from '../../port/host.ts'
import { Timeline } from '../../structures/timeline.ts'
import { UniqueKeys } from '../../structures/unique-keys.ts'
import type { Lease, Leases } from '../consumer/leases.ts'

/** Where a job of this process is, when it is not leased. */
type Place =
  /** Only here: its response is not over. */
  | { readonly at: 'held' }
  /** Only here, until it is written. */
  | { readonly at: 'buffered' }
  /** On its way, as one whose response is not over or not. */
  | { readonly at: 'writing'; readonly isHeld: boolean }
  /** In the store, as held or not. */
  | { readonly at: 'stored'; readonly isHeld: boolean }
  /** In the store, which still calls it dead. */
  | { readonly at: 'reviving' }

/** Where a job is; undefined for one that this process neither accepted nor has, or that is over. */
export type Location = Place | { readonly at: 'leased'; readonly lease: Lease } | undefined

/** What the jobs tell. */
export interface LocalEvents {
  /** A job has waited for too long. */
  expired(job: JobRecord): void
  /** A job is not to be in the lock of its batch any more. */
  leftBatch(job: JobRecord, stop: boolean): void
}

const HELD: Place = { at: 'held' }
const BUFFERED: Place = { at: 'buffered' }
const STORED: Place = { at: 'stored', isHeld: false }

/** Accepted, unfinished jobs by their ids, and those that ended before the store had them. */
export class LocalJobs {
  /** Jobs that are not over. */
  readonly byId = new Map<string, JobRecord>()
  /** Jobs that ended before they came to the store, for as long as they can be looked up. */
  readonly endedHere = new Map<string, JobRecord>()
  readonly #places = new Map<JobRecord, Place>()
  readonly #revivals = new Set<Promise<void>>()
  /** The ids of jobs that ended here, by number. */
  readonly #endedIds = new Map<number, string>()
  readonly #engine: BrokerHost
  readonly #events: LocalEvents
  readonly #leases: Leases
  readonly #finished: FinishedJobs
  readonly #timeouts: Timeline
  readonly #unique: UniqueKeys
  readonly #lines = new WeakMap<JobRecord, string>()
  /** Jobs that came before their batch had a lock. */
  readonly #withoutLine = new WeakSet<JobRecord>()
  /** The job of its batch that one stands behind. */
  readonly #behind = new WeakMap<JobRecord, JobRecord>()

  constructor(engine: BrokerHost, leases: Leases, events: LocalEvents) {
    const { clock, retention } = engine
    this.#engine = engine
    this.#leases = leases
    this.#events = events
    this.#unique = new UniqueKeys(clock, (seq) => this.endedHere.get(this.#endedIds.get(seq) ?? ''))
    this.#finished = new FinishedJobs(clock, retention, (seq) => this.#forget(seq))
    this.#timeouts = new Timeline(
      clock,
      (job) => events.expired(job),
      (job) => job.attempts === 0 && !isTerminal(job.state) && !leases.byJob.has(job),
    )
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.#engine.idPrefix + job.seq.toString(36)
  }

  // ── Where a job is ─────────────────────────────────────────────────────────────────────────────────────────────

  at(job: JobRecord): Location {
    const lease = this.#leases.byJob.get(job)
    return lease === undefined ? this.#places.get(job) : { at: 'leased', lease }
  }

  /** The job lies in the store, and nowhere else. */
  isAway(job: JobRecord): boolean {
    return this.at(job)?.at === 'stored'
  }

  /** The store has the job, or it is over. */
  isStored(job: JobRecord): boolean {
    const place = this.#places.get(job)
    return place === undefined || place.at === 'stored' || place.at === 'reviving'
  }

  /** Jobs that the store does not have. */
  *notStored(): Iterable<JobRecord> {
    for (const [job, { at }] of this.#places) if (at !== 'stored' && at !== 'reviving') yield job
  }

  /** Jobs in the store whose response is not over. */
  *heldInStore(): Iterable<JobRecord> {
    for (const [job, place] of this.#places) if (place.at === 'stored' && place.isHeld) yield job
  }

  // ── How it gets there ──────────────────────────────────────────────────────────────────────────────────────────

  accept(job: JobRecord): void {
    this.byId.set(this.idOf(job), job)
    this.#places.set(job, HELD)
    const { extras } = job
    if (extras?.uniqueKey !== undefined) this.#unique.hold(extras.uniqueKey, job)
    const expires = extras?.queueTimeout
    if (expires !== undefined && Number.isFinite(expires))
      this.#timeouts.add(job, this.#engine.clock.now() + expires)
  }

  buffered(job: JobRecord): void {
    this.#places.set(job, BUFFERED)
  }

  writing(job: JobRecord, isHeld: boolean): void {
    this.#places.set(job, { at: 'writing', isHeld })
  }

  /** The store has a job; it can be fetched before the answer to its being written has come. */
  arrived(job: JobRecord): void {
    const place = this.#places.get(job)
    if (place?.at !== 'writing' || isTerminal(job.state)) return
    this.#places.set(job, place.isHeld ? { at: 'stored', isHeld: true } : STORED)
    job.extras?.storing?.resolve()
  }

  /** The store has an equal job instead. */
  isDuplicate(job: JobRecord): void {
    if (this.#places.get(job)?.at !== 'writing') return
    job.extras?.storing?.resolve()
    this.#events.leftBatch(job, false)
    this.endHere(job, { state: 'skipped', reason: DUPLICATE })
  }

  /** The response of a held job is over. False when it is only here, and is to be admitted. */
  released(job: JobRecord): boolean {
    const place = this.#places.get(job)
    if (place?.at === 'held' || place?.at === 'buffered') return false
    if (place?.at === 'writing' || place?.at === 'stored') this.#places.set(job, { ...place, isHeld: false })
    return true
  }

  /** A dead job starts over; until that is written, the store still calls it dead. */
  revive(job: JobRecord, written: Promise<void>): void {
    this.byId.set(this.idOf(job), job)
    const reviving: Place = { at: 'reviving' }
    this.#places.set(job, reviving)
    const over = (): void => void (this.#places.get(job) === reviving && this.#places.set(job, STORED))
    written.then(over, over)
    this.expectRevival(written)
  }

  /** Whoever asks about jobs is to be told what comes of this. */
  expectRevival(written: Promise<void>): void {
    this.#revivals.add(written)
    const over = (): void => void this.#revivals.delete(written)
    written.then(over, over)
  }

  /** Resolves once the store knows of every job that has started over. */
  async revived(): Promise<void> {
    await Promise.allSettled(this.#revivals)
  }

  // ── Its batch ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The lock of a job's batch. */
  lineOf(job: JobRecord): string | undefined {
    return this.#lines.get(job)
  }

  /** The job of its batch that one stands behind. */
  previousOf(job: JobRecord): JobRecord | undefined {
    return this.#behind.get(job)
  }

  /** Puts a job behind another of its batch. True when the other came without a lock, and may not have joined it yet. */
  putBehind(job: JobRecord, other: JobRecord): boolean {
    const known = this.#lines.get(other)
    const line = known ?? `b:${this.idOf(other)}`
    if (known === undefined) {
      this.#lines.set(other, line)
      this.#withoutLine.add(other)
    }
    this.#lines.set(job, line)
    this.#behind.set(job, other)
    // Whoever was put behind it before may have ended unwritten, and then has not brought it there.
    return this.#withoutLine.has(other)
  }

  /** A held job has no lock of a batch any more. Those behind it stand behind the one before it. */
  detach(job: JobRecord): void {
    this.#lines.delete(job)
    this.#behind.delete(job)
  }

  isBlocked(job: JobRecord): boolean {
    const other = this.#behind.get(job)
    return other !== undefined && !isTerminal(other.state)
  }

  holderOf(uniqueKey: string): JobRecord | undefined {
    return this.#unique.holder(uniqueKey)
  }

  // ── Its end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A job ends that the store does not have. */
  endHere(job: JobRecord, ended: Ending): void {
    const id = this.idOf(job)
    applyEnding(job, ended, this.#engine.clock.now())
    this.endedHere.set(id, job)
    this.#endedIds.set(job.seq, id)
    this.#finished.add(job)
    this.over(job, id)
  }

  /** Takes back a job that ended before the store had it; false when it is none. */
  takeEnded(job: JobRecord): boolean {
    return this.endedHere.delete(this.idOf(job))
  }

  /** A job that this process accepted or ran is over, and everybody is told. */
  over(job: JobRecord, id: string, ran = 0): void {
    this.byId.delete(id)
    this.#places.delete(job)
    if (job.extras?.uniqueKey !== undefined) this.#unique.over(job)
    this.#engine.settled(job, ran)
  }

  /** The process stops: what the store never had is lost. */
  loseWhatIsNotStored(): void {
    for (const job of [...this.notStored()]) {
      if (isTerminal(job.state)) continue
      const error = new JobLostError(job.entry.task.name, 'unwritten')
      applyEnding(job, { state: 'cancelled', reason: 'lost', error }, this.#engine.clock.now())
      this.over(job, this.idOf(job))
    }
  }

  close(): void {
    this.#timeouts.close()
    this.#unique.close()
  }

  #forget(seq: number): void {
    this.endedHere.delete(this.#endedIds.get(seq) ?? '')
    this.#endedIds.delete(seq)
  }
}
