/** The jobs of one queue over BullMQ's backend: what Redis and PostgreSQL have in common. */
import type { IQueueBackend } from 'bullmq'
import type { Encoded } from '../../../rules/codec.ts'
import { toProgress, toStored } from './bullmq-jobs.ts'
import { refusalOf } from './refusals.ts'
import type { Admitted, Claimed, JobSource, LeaseRef, LeftBehind, StoredEnding } from './shared-store.ts'
import type { StoredJob } from './stored-job.ts'

// A delayed job is looked at again after so many milliseconds at the latest.
const LONGEST_NAP = 100

/** A job that joins locks. `token`: the job has to lie under it. */
export interface Entry {
  readonly queue: string
  readonly id: string
  readonly locks: readonly string[]
  readonly token?: string
}

/** What every source is made of. */
export interface SourceParts {
  readonly queue: string
  /** Is noted on the jobs that are claimed. */
  readonly name: string
  readonly isJsonb: boolean
  /** Milliseconds after which a job that waits in a lock is looked at again by itself. */
  readonly recheck: number
  /** The time by the store's clock, in milliseconds since 1970. */
  wall(): number
  /** Asked for each time: a backend that was made while the store was away may be replaced. */
  backend(): IQueueBackend
  enter(entry: Entry): Promise<Admitted | 'lost'>
  promote(queue: string, id: string): Promise<void>
}

/** Admits jobs and gives them back. */
export abstract class BullmqSource implements JobSource {
  protected readonly parts: SourceParts

  constructor(parts: SourceParts) {
    this.parts = parts
  }

  abstract claim(tokens: readonly string[]): Promise<{ jobs: readonly Claimed[]; dueAt: number }>
  abstract claimedUnder(tokens: readonly string[]): Promise<readonly Claimed[]>
  abstract end(lease: LeaseRef, ending: StoredEnding): Promise<Claimed | undefined>
  abstract setAside(lease: LeaseRef, task: string): Promise<void>
  abstract claimAside(tokens: readonly string[], tasks: readonly string[]): Promise<readonly Claimed[]>
  abstract note(lease: LeaseRef, stacktrace: string): Promise<void>

  protected get backend(): IQueueBackend {
    return this.parts.backend()
  }

  async admit(lease: LeaseRef, locks: readonly string[]): Promise<Admitted> {
    const { queue, recheck } = this.parts
    const { id, token } = lease
    const place = await this.parts.enter({ queue, id, locks, token })
    if (place === 'lost') throw refusalOf(id)
    if (place !== 'behind') return place
    await this.postpone(lease, recheck)
    const callAgain = async (): Promise<void> => {
      if ((await this.parts.enter({ queue, id, locks })) !== 'behind') await this.parts.promote(queue, id)
    }
    // The job before it may have left while this one was on its way back. It is not ours any more: should this fail, it
    // is looked at again by itself.
    await callAgain().catch(() => {})
    return 'behind'
  }

  async postpone({ id, token }: LeaseRef, delay: number, left?: LeftBehind): Promise<void> {
    const fields = left && { failedReason: left.reason, stacktrace: left.stacktrace }
    // BullMQ counts an attempt for one that has left something behind.
    const options = fields === undefined ? { skipAttempt: true } : { fieldsToUpdate: fields }
    await this.backend.moveToDelayed(id, this.parts.wall(), Math.round(delay), token, options)
  }

  async putBack({ id, token }: LeaseRef): Promise<void> {
    await this.backend.moveJobFromActiveToWait(id, token)
  }

  renew(leases: readonly LeaseRef[], milliseconds: number): Promise<readonly string[]> {
    const ids = leases.map(({ id }) => id)
    const tokens = leases.map(({ token }) => token)
    return this.backend.extendLocks(ids, tokens, milliseconds)
  }

  async seen(id: string): Promise<StoredJob | undefined> {
    const json = await this.backend.getJobData(id)
    return json && toStored(this.parts.queue, id, json, 'active', this.parts.wall())
  }

  async reclaimExpired(): Promise<void> {
    await this.backend.moveStalledJobsToWait()
  }

  async waitForWork(milliseconds: number): Promise<number> {
    const seconds = Math.max(this.backend.minimumBlockTimeout, milliseconds / 1000)
    const found = await this.backend.waitForJob(seconds)
    // The marker of a job that is due later.
    const early = found === null ? 0 : found.score - this.parts.wall()
    return early > 1 ? Math.min(early, LONGEST_NAP) : 0
  }

  stopWaiting(): void {
    // BullMQ first waits for the connection, which may never be there again: then there is no wait to be ended.
    this.backend.disconnectBlocking(false).catch(() => {})
  }

  setProgress(id: string, progress: Encoded): void {
    const value = JSON.parse(toProgress(progress, this.parts.isJsonb)) as object
    // Progress that gets lost is followed by other progress, or by the end.
    this.backend.updateProgress(id, value).catch(() => {})
  }

  async log(id: string, line: string, most: number): Promise<void> {
    // A store that is away loses lines of a log; the runtime has told them to its listeners.
    await this.backend.addLog(id, line, most).catch(() => {})
  }
}
