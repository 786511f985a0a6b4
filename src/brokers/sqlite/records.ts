/**
 * The records of jobs that this process has to do with. Those that are granted, held, awaited or being written are held
 * here; of all others nothing stays, so a queue of millions costs no memory. A handle of such a job that somebody still
 * has is told of it when it is asked.
 */

import { JobRecord } from '../../rules/job-record.ts'
import { errorFromText, type Row, RUN_SPAN, STATES } from '../../rules/journal-protocol.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { strangerOf } from '../../rules/stranger.ts'
import { isTerminal } from '../../words/job.ts'
import type { JournalClock } from './journal-clock.ts'
import { restFromText } from './operations.ts'

/** Finds the record of a job, or makes it from its row. */
export class Records {
  /** Granted to this process: waiting for a thread, or running. */
  readonly window = new Map<number, JobRecord>()
  /** Held for another reason: being written, held by a response, awaited, the holder of a unique key. */
  readonly kept = new Map<number, JobRecord>()
  /** Dead, while the response is open that they waited for: only the record knows of that, should one be revived. */
  readonly #deadAndHeld = new Map<number, JobRecord>()
  /** Jobs that were dead, were revived here, and are not over: a handle may still have the record that died. */
  readonly revived = new Set<number>()
  readonly #clock: JournalClock
  readonly #entries: readonly TaskEntry[]

  readonly #freed: (bytes: number) => void

  /** `freed` is told of bytes of payload that are on disk only from then on. */
  constructor(clock: JournalClock, entries: readonly TaskEntry[], freed: (bytes: number) => void) {
    this.#freed = freed
    this.#clock = clock
    this.#entries = entries
  }

  get(seq: number): JobRecord | undefined {
    return this.window.get(seq) ?? this.kept.get(seq)
  }

  /** The job is on disk, and nothing here waits for it, unless somebody does: then its record stays the one. */
  letGo(job: JobRecord): void {
    const { extras } = job
    const isAwaited = extras?.settle !== undefined || extras?.signal !== undefined
    if (isAwaited || extras?.uniqueKey !== undefined || job.batch?.ended !== undefined) {
      this.kept.set(job.seq, job)
      return
    }
    this.kept.delete(job.seq)
    job.more.isEvicted = true
    if (job.bytes === 0) return
    this.#freed(job.bytes)
    job.bytes = 0
  }

  /** The job is over, and its end was told. */
  forget(job: JobRecord): void {
    this.window.delete(job.seq)
    this.kept.delete(job.seq)
    if (isTerminal(job.state)) this.revived.delete(job.seq)
    if (job.state === 'dead' && job.batch?.facts === null) this.#deadAndHeld.set(job.seq, job)
  }

  /** The record of a dead job whose response is still open. */
  deadAndHeld(seq: number): JobRecord | undefined {
    return this.#deadAndHeld.get(seq)
  }

  /** The job is not in the file any more. */
  removed(job: JobRecord): void {
    this.forget(job)
    this.#deadAndHeld.delete(job.seq)
  }

  /** The response of a job's batch is over: if the job is dead, its row tells all that there is. */
  responseIsOver(job: JobRecord): void {
    this.#deadAndHeld.delete(job.seq)
  }

  /** Holds the record of a job that somebody waits for. */
  keep(job: JobRecord): void {
    this.#deadAndHeld.delete(job.seq)
    if (!this.window.has(job.seq)) this.kept.set(job.seq, job)
  }

  /** The record of a row. */
  of(row: Row): JobRecord {
    return this.get(row[0]) ?? this.view(row)
  }

  /** A new record, as the row says, whether this process has its task or not. */
  view(row: Row): JobRecord {
    const [seq, id, task, , priority, accepted, ready, due, , , , isSuspect, key] = row
    const entry = this.#entries[task] ?? strangerOf(row[22])
    const payload = row[15] ?? undefined
    const job = new JobRecord(seq, entry, payload, priority, this.monotonic(accepted))
    const { more } = job
    if (seq <= 0 || seq >= RUN_SPAN) more.id = id
    if (row[17] !== null) Object.assign(more, restFromText(row[17]))
    if (key !== null) more.key = key
    if (due !== null) more.dueAt = this.monotonic(due)
    if (row[13] !== null) more.uniqueKey = row[13]
    if (row[14] !== null) more.uniqueUntil = this.monotonic(row[14])
    if (isSuspect === 1) more.isSuspect = true
    job.readyAt = this.monotonic(ready)
    this.update(job, row)
    return job
  }

  /** Brings a record to what its row says. */
  update(job: JobRecord, row: Row): void {
    this.#count(job, row)
    job.state = STATES[row[3]] ?? 'available'
    if (row[20] !== null) job.more.errors = [errorFromText(row[20])]
    if (row[19] !== null) job.more.reason = row[19]
    if (row[21] !== null) job.more.progress = row[21]
    // It may have been ended here, too late, and goes on: what was dropped with that is needed again.
    if (!isTerminal(job.state) || job.state === 'dead') job.payload = row[15] ?? undefined
    if (!isTerminal(job.state)) return
    job.readyAt = this.monotonic(row[18] ?? row[6])
    if (job.state === 'completed') job.result = row[16] ?? undefined
    else if (job.state !== 'dead') job.payload = undefined
  }

  /** How often a job was tried, of a record that had been let go and has ended since it is back. */
  recount(job: JobRecord, row: Row): void {
    if (job.extras?.isStale === true) this.#count(job, row)
  }

  #count(job: JobRecord, [, , , , , , , , attempts, failures, crashes]: Row): void {
    job.attempts = attempts
    if (failures !== job.failures) job.failures = failures
    if (crashes !== job.crashes) job.crashes = crashes
    if (job.extras !== null) job.extras.isStale = false
  }

  /** A wall-clock time on the monotonic clock, whole. */
  monotonic(wall: number): number {
    return this.#clock.monotonicOf(wall)
  }

  /** A time on the monotonic clock as wall-clock time. The journal orders jobs by it. */
  wall(monotonic: number): number {
    return this.#clock.wallOf(monotonic)
  }
}
