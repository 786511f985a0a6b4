/** One queue of the modelled store: where each of its jobs is, and which is next. */
import { bullPriority, toDataText } from '../../../src/brokers/bullmq/store/bullmq-jobs.ts'
import type { NewJob } from '../../../src/brokers/bullmq/store/stored-job.ts'

/** Where a job of a queue is. */
export type Where = 'waiting' | 'aside' | 'active' | 'delayed' | 'completed' | 'failed'

/** A job as it lies there: what is told to it is text, so that nothing is shared with a process. */
export interface ModelJob {
  readonly id: string
  readonly queue: string
  readonly name: string
  readonly priority: number
  readonly acceptedAt: number
  readonly uniqueKey: string | undefined
  data: string
  where: Where
  /** Its place among those that wait, by priority first. */
  rank: number
  dueAt: number
  /** Who has it; empty when nobody does. */
  token: string
  lockedUntil: number
  /** It was running at the last look for leases that have run out. */
  isSuspect: boolean
  starts: number
  stalls: number
  trace: string | undefined
  progress: string | undefined
  claimedAt: number | undefined
  endedAt: number | undefined
  result: string | undefined
}

/** The queue. */
export class ModelQueue {
  readonly name: string
  readonly jobs = new Map<string, ModelJob>()
  readonly unique = new Map<string, { readonly id: string; readonly until: number | undefined }>()
  /** When leases that have run out were looked for last. */
  reclaimedAt = Number.NEGATIVE_INFINITY
  /** Is called whenever a job comes to wait, or to be delayed. */
  changed: () => void = () => {}
  readonly #waiting = new Set<ModelJob>()
  readonly #delayed = new Set<ModelJob>()
  readonly #active = new Set<ModelJob>()
  readonly #aside = new Set<ModelJob>()
  readonly #finished = { completed: new Set<ModelJob>(), failed: new Set<ModelJob>() }
  #ranks = 0
  #front = 0

  constructor(name: string) {
    this.name = name
  }

  /** `dueAt`: 0 for one that need not wait. */
  add({ id, name, data, payload, priority, acceptedAt, unique }: NewJob, dueAt: number): void {
    const job: ModelJob = {
      ...{ id, queue: this.name, name, priority: bullPriority(priority), acceptedAt },
      ...{
        uniqueKey: unique?.key,
        data: toDataText(data, payload, false),
        where: 'waiting',
        rank: 0,
        dueAt: 0,
      },
      ...{ token: '', lockedUntil: 0, isSuspect: false, starts: 0, stalls: 0, trace: undefined },
      ...{ progress: undefined, claimedAt: undefined, endedAt: undefined, result: undefined },
    }
    this.jobs.set(id, job)
    if (dueAt > 0) this.delay(job, dueAt)
    else this.wait(job)
  }

  // ── Where a job is ─────────────────────────────────────────────────────────────────────────────────────────────

  wait(job: ModelJob): void {
    this.#to(job, 'waiting', this.#waiting)
    job.rank = ++this.#ranks
    this.changed()
  }

  waitInFront(job: ModelJob): void {
    this.#to(job, 'waiting', this.#waiting)
    job.rank = --this.#front
    this.changed()
  }

  delay(job: ModelJob, dueAt: number): void {
    this.#to(job, 'delayed', this.#delayed)
    job.dueAt = dueAt
    this.changed()
  }

  setAside(job: ModelJob): void {
    this.#to(job, 'aside', this.#aside)
  }

  activate(job: ModelJob): void {
    this.#to(job, 'active', this.#active)
  }

  /** Keeps the newest `most` of them. */
  finish(job: ModelJob, where: 'completed' | 'failed', most: number): void {
    const finished = this.#finished[where]
    this.#to(job, where, finished)
    const key = job.uniqueKey === undefined ? undefined : this.unique.get(job.uniqueKey)
    if (key?.id === job.id && key.until === undefined) this.unique.delete(job.uniqueKey as string)
    for (const oldest of finished) {
      if (finished.size <= most) break
      this.remove(oldest)
    }
  }

  remove(job: ModelJob): void {
    this.#setOf(job.where).delete(job)
    this.jobs.delete(job.id)
    if (job.uniqueKey !== undefined && this.unique.get(job.uniqueKey)?.id === job.id)
      this.unique.delete(job.uniqueKey)
  }

  #to(job: ModelJob, where: Where, set: Set<ModelJob>): void {
    this.#setOf(job.where).delete(job)
    job.where = where
    set.add(job)
  }

  #setOf(where: Where): Set<ModelJob> {
    if (where === 'waiting') return this.#waiting
    if (where === 'delayed') return this.#delayed
    if (where === 'aside') return this.#aside
    return where === 'active' ? this.#active : this.#finished[where]
  }

  // ── Which is next ──────────────────────────────────────────────────────────────────────────────────────────────

  promoteDue(now: number): void {
    if (this.#delayed.size === 0) return
    const due = [...this.#delayed].filter(({ dueAt }) => dueAt <= now)
    for (const job of due.sort((one, other) => one.dueAt - other.dueAt)) this.wait(job)
  }

  next(): ModelJob | undefined {
    return bestOf(this.#waiting)
  }

  /** The best of those of some tasks that were set aside. */
  nextAside(tasks: readonly string[]): ModelJob | undefined {
    return bestOf([...this.#aside].filter(({ name }) => tasks.includes(name)))
  }

  waiting(): Iterable<ModelJob> {
    return [...this.#waiting]
  }

  get hasWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /** When the next delayed job is due; Infinity when there is none. */
  nextDue(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { dueAt } of this.#delayed) next = Math.min(next, dueAt)
    return next
  }

  active(): Iterable<ModelJob> {
    return [...this.#active]
  }

  /** The job that an equal one is not added for. */
  holderOf(key: string, now: number): string | undefined {
    const holder = this.unique.get(key)
    if (holder === undefined) return undefined
    if (holder.until !== undefined && holder.until <= now) return undefined
    return holder.id
  }
}

function bestOf(jobs: Iterable<ModelJob>): ModelJob | undefined {
  let best: ModelJob | undefined
  for (const job of jobs) {
    if (best === undefined || job.priority < best.priority) best = job
    else if (job.priority === best.priority && job.rank < best.rank) best = job
  }
  return best
}
