/** The jobs of one queue over BullMQ's backend: one call of BullMQ's for each job. The stores do better where it counts. */
import type { IQueueBackend, JobJson } from 'bullmq'
import { toStored } from './bullmq-jobs.ts'
import type { EndedJobs } from './ended-jobs.ts'
import { MOST_LOG_LINES } from './queue-options.ts'
import type { Claimed, Completion, FinalEnd, JobSource, LeaseRef, LeftBehind } from './shared-store.ts'
import type { StoredJob } from './stored-job.ts'

/** What BullMQ returns for a fetch: the job, its id, the rest of a rate limit, when the next delayed job is due. */
export type Fetched = readonly [job?: JobJson | null, id?: string, limit?: number, until?: number]

// A delayed job is looked at again after so many milliseconds at the latest.
const LONGEST_NAP = 100

/** What every source is made of. */
export interface SourceParts {
  readonly queue: string
  /** Is noted on the jobs that are fetched. */
  readonly name: string
  readonly ended: EndedJobs
  /** Asked for each time: a backend that was made while the store was away may be replaced. */
  backend(): IQueueBackend
}

/** Claims, completes and gives back jobs one at a time; what Redis is given in one turn, it gets in one piece. */
export abstract class SingleSource implements JobSource {
  protected readonly parts: SourceParts

  constructor(parts: SourceParts) {
    this.parts = parts
  }

  protected get backend(): IQueueBackend {
    return this.parts.backend()
  }

  abstract note(lease: LeaseRef, stacktrace: string): Promise<void>

  async claim(tokens: readonly string[]): Promise<{ jobs: readonly Claimed[]; dueAt: number }> {
    const asked = tokens.map(async (token) => {
      const fetched = (await this.backend.moveToActive(token, this.parts.name)) as unknown as Fetched
      return { token, fetched }
    })
    const answers = await Promise.allSettled(asked)
    const taken = answers.filter((answer) => answer.status === 'fulfilled').map(({ value }) => value)
    if (taken.length === 0) throw new Error('Nothing could be fetched.')
    const jobs = taken.flatMap(({ token, fetched }) => this.claimed(token, fetched) ?? [])
    return { jobs, dueAt: Math.max(0, ...taken.map(({ fetched: [, , , until] }) => until ?? 0)) }
  }

  /** The job of a fetch; BullMQ's answer without a job has an id that is none. */
  protected claimed(token: string, [json, id]: Fetched): Claimed | undefined {
    return json && id ? { token, job: toStored(this.parts.queue, id, json, 'active', Date.now()) } : undefined
  }

  complete(completion: Completion): Promise<Claimed | undefined> {
    return this.completeAlone(completion)
  }

  protected async completeAlone({ id, token, result, fetchNext }: Completion): Promise<Claimed | undefined> {
    const job = { id, opts: { attempts: 1 } } as never
    const answer = await this.backend.moveToCompleted(job, result, undefined as never, token, fetchNext)
    return this.claimed(token, (answer.result ?? []) as unknown as Fetched)
  }

  async end({ id, token }: LeaseRef, { reason, stacktrace, kept }: FinalEnd): Promise<void> {
    // BullMQ's failed jobs are our dead ones; what ended otherwise is kept apart, before BullMQ removes the job.
    if (kept !== undefined) await this.parts.ended.put(id, kept.name, kept.data)
    const job = { id, opts: { attempts: 1 } } as never
    const fields = { failedReason: reason, stacktrace }
    await this.backend.moveToFailed(job, reason, (kept && true) as never, token, false, fields)
  }

  async postpone({ id, token }: LeaseRef, delay: number, left?: LeftBehind): Promise<void> {
    const fields = left && { failedReason: left.reason, stacktrace: left.stacktrace }
    const options = { skipAttempt: true, ...(fields && { fieldsToUpdate: fields }) }
    await this.backend.moveToDelayed(id, Date.now(), Math.round(delay), token, options)
  }

  async putBack({ id, token }: LeaseRef): Promise<void> {
    await this.backend.moveJobFromActiveToWait(id, token)
  }

  renew(leases: readonly LeaseRef[], milliseconds: number): Promise<readonly string[]> {
    const ids = leases.map(({ id }) => id)
    return this.backend.extendLocks(
      ids,
      leases.map(({ token }) => token),
      milliseconds,
    )
  }

  async seen(id: string): Promise<StoredJob | undefined> {
    const json = await this.backend.getJobData(id)
    return json && toStored(this.parts.queue, id, json, 'active', Date.now())
  }

  async reclaimExpired(): Promise<void> {
    await this.backend.moveStalledJobsToWait()
  }

  async waitForWork(milliseconds: number): Promise<number> {
    const seconds = Math.max(this.backend.minimumBlockTimeout, milliseconds / 1000)
    const found = await this.backend.waitForJob(seconds)
    // The marker of a job that is due later.
    const early = found === null ? 0 : found.score - Date.now()
    return early > 1 ? Math.min(early, LONGEST_NAP) : 0
  }

  stopWaiting(): void {
    // BullMQ first waits for the connection, which may never be there again.
    this.backend.disconnectBlocking(false).catch(() => {})
  }

  setProgress(id: string, progress: unknown): void {
    this.backend.updateProgress(id, progress as object).catch(() => {})
  }

  log(id: string, line: string): void {
    this.backend.addLog(id, line, MOST_LOG_LINES).catch(() => {})
  }
}
