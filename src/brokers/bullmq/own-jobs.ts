/** The jobs that this process accepted: which of them the store has, and what became of those that it never had. */
import type { JobRecord } from '../../rules/job-record.ts'
import { DUPLICATE } from '../../rules/journal-protocol.ts'
import { isTerminal } from '../../words/job.ts'
import type { BrokerHost, Ended } from '../broker.ts'
import { conclude } from '../conclude.ts'
import { FinishedJobs } from '../finished-jobs.ts'
import { Timeline } from '../timeline.ts'
import { UniqueKeys } from '../unique-keys.ts'
import type { BatchLines } from './batch-lines.ts'

/** What this needs of the broker. */
export interface OwnJobsHost {
  /** The job waits for a thread of this process, or runs there. */
  isLeased(job: JobRecord): boolean
  /** A job has waited for too long. */
  expired(job: JobRecord): void
  /** The store has a job. */
  arrived(job: JobRecord): void
}

/** The records of this process's jobs, from their acceptance to their end. */
export class OwnJobs {
  /** Jobs that are not over. */
  readonly byId = new Map<string, JobRecord>()
  /** Jobs that ended before they came to the store, for as long as they can be looked up. */
  readonly endedHere = new Map<string, JobRecord>()
  /** The ids of those, by number. */
  readonly #endedIds = new Map<number, string>()
  readonly #host: BrokerHost
  readonly #broker: OwnJobsHost
  readonly #lines: BatchLines
  readonly #stored = new WeakSet<JobRecord>()
  readonly #reviving = new Map<JobRecord, Promise<void>>()
  readonly #finished: FinishedJobs
  readonly #timeouts: Timeline
  readonly #unique: UniqueKeys

  constructor(host: BrokerHost, lines: BatchLines, broker: OwnJobsHost) {
    const { clock, retention } = host
    this.#host = host
    this.#broker = broker
    this.#lines = lines
    this.#unique = new UniqueKeys(clock)
    this.#finished = new FinishedJobs(clock, retention, (seq) => this.#forget(seq))
    this.#timeouts = new Timeline(
      clock,
      (job) => broker.expired(job),
      (job) => job.attempts === 0 && !isTerminal(job.state) && !broker.isLeased(job),
    )
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.#host.idPrefix + job.seq.toString(36)
  }

  take(job: JobRecord): void {
    this.byId.set(this.idOf(job), job)
    const { extras } = job
    if (extras?.uniqueKey !== undefined) this.#unique.hold(extras.uniqueKey, job)
    const expires = extras?.queueTimeout
    if (expires !== undefined) this.#timeouts.add(job, this.#host.clock.now() + expires)
  }

  /** A dead job starts over. Until that is written, the store still calls it dead. */
  takeAgain(job: JobRecord, written: Promise<void>): void {
    this.byId.set(this.idOf(job), job)
    this.#stored.add(job)
    const over = (): void => void (this.#reviving.get(job) === written && this.#reviving.delete(job))
    this.#reviving.set(job, written)
    written.then(over, over)
  }

  isReviving(job: JobRecord): boolean {
    return this.#reviving.has(job)
  }

  /** Resolves once the store knows of every job that has started over. */
  async revived(): Promise<void> {
    await Promise.allSettled(this.#reviving.values())
  }

  isStored(job: JobRecord): boolean {
    return this.#stored.has(job)
  }

  duplicateOf(uniqueKey: string): JobRecord | undefined {
    return this.#unique.holder(uniqueKey)
  }

  /** The outbox has written the job; `isDuplicate`: the store has an equal one instead. */
  arrived(job: JobRecord, isDuplicate: boolean): void {
    if (isDuplicate) {
      job.extras?.storing?.resolve()
      this.#lines.leave(job, this.idOf(job), false)
      return this.endHere(job, { state: 'skipped', reason: DUPLICATE })
    }
    if (isTerminal(job.state) || this.#stored.has(job)) return
    this.#stored.add(job)
    this.#broker.arrived(job)
    job.extras?.storing?.resolve()
  }

  /** A job ends that the store does not have. */
  endHere(job: JobRecord, ended: Ended): void {
    const id = this.idOf(job)
    conclude(job, ended, this.#host.clock.now())
    this.endedHere.set(id, job)
    this.#endedIds.set(job.seq, id)
    this.#finished.add(job)
    this.over(job, id)
  }

  /** A job that this process accepted or ran is over, and everybody is told. */
  over(job: JobRecord, id: string): void {
    this.byId.delete(id)
    if (job.extras?.uniqueKey !== undefined) this.#unique.over(job)
    this.#host.settled(job)
  }

  loseWhatIsNotStored(): void {
    for (const [id, job] of [...this.byId]) {
      if (this.#stored.has(job) || isTerminal(job.state)) continue
      conclude(job, { state: 'cancelled', reason: 'lost' }, this.#host.clock.now())
      this.over(job, id)
    }
  }

  close(): void {
    this.#timeouts.close()
  }

  #forget(seq: number): void {
    this.endedHere.delete(this.#endedIds.get(seq) ?? '')
    this.#endedIds.delete(seq)
  }
}
