/**
 * Work: the jobs that this process has fetched, from the fetch to the written outcome. A job that is fetched belongs to
 * this process for the time of its lease, which is renewed; an outcome counts only as long as the lease is ours.
 */
import { nextTick } from 'node:process'
import { setTimeout } from 'node:timers/promises'
import type { JobJson } from 'bullmq'
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import type { BrokerHost, Ended } from '../broker.ts'
import { conclude } from '../conclude.ts'
import { Admission, type AdmissionHost } from './admission.ts'
import { Begun } from './begun.ts'
import type { Contact } from './contact.ts'
import type { EndedJobs } from './ended-jobs.ts'
import { Feed, type FeedHost } from './feed.ts'
import type { Fetched } from './fetcher.ts'
import type { Writes } from './insist.ts'
import { type Lease, Leases } from './leases.ts'
import type { Lines } from './lines.ts'
import type { BullmqSettings } from './options.ts'
import { Outcomes, type OutcomesHost } from './outcomes.ts'
import type { QueueOfTasks } from './queues.ts'
import type { Store } from './store.ts'
import type { StoredData } from './stored-job.ts'
import { Suspects } from './suspects.ts'
import { Windows } from './windows.ts'

/** What work needs of the broker. */
export interface WorkHost {
  readonly host: BrokerHost
  entryOf(name: string): TaskEntry | undefined
  /** The record of a job that this process accepted. */
  accepted(id: string): JobRecord | undefined
  foreignSeq(): number
  lineOf(job: JobRecord): string | undefined
  /** The end of a job that ran here is written. */
  ended(job: JobRecord, id: string, data: StoredData): void
}

/** What work needs of the other parts. */
export interface WorkParts {
  readonly store: Store
  readonly writes: Writes
  readonly lines: Lines
  readonly ended: EndedJobs
  readonly settings: BullmqSettings
  readonly contact: Contact
  /** Milliseconds after which a job that stands in a line looks again whether it is first. */
  readonly recheck: number
}

// A fetched job that no thread has taken after so long is better off where every process can take it.
const UNCLAIMED = 1000
// For a host that cannot tell what its threads can take.
const SLOTS = 16

/** The fetched jobs of this process. */
export class Work implements FeedHost {
  readonly leases: Leases
  readonly begun: Begun
  readonly feeds: Feed[] = []
  /** Counts fetches and ends: whoever has asked the store can tell whether its answer still holds. */
  moves = 0
  readonly #parts: WorkParts
  readonly #host: BrokerHost
  readonly #admission: Admission
  readonly #outcomes: Outcomes
  readonly #suspects = new Suspects()
  readonly #windows = new Windows()
  /** Pools whose threads do not ask for jobs at present. */
  readonly #unasked = new Set<string>()
  /** Pools that jobs are coming to in this moment. */
  readonly #arriving = new Set<string>()
  #isFetching = false
  /** One after the other: through several connections they would arrive in any order. */
  #putBacks: Promise<void> = Promise.resolve()
  #stopTimer: (() => void) | undefined

  constructor(parts: WorkParts, broker: WorkHost) {
    this.#parts = parts
    this.#host = broker.host
    this.leases = new Leases(this.#host.clock, parts.settings.lease, (lease) => this.#lost(lease))
    this.begun = new Begun(parts.store, parts.writes, this.#host.clock, this.leases)
    this.#admission = new Admission(parts, broker, this.#asAdmissionHost())
    this.#outcomes = new Outcomes(parts, broker, this.#asOutcomesHost())
  }

  start(queues: readonly QueueOfTasks[], name: string): void {
    const { store, settings } = this.#parts
    this.#isFetching = true
    for (const { name: queue, pool, limit } of queues) {
      const at = {
        queue,
        pool,
        limit,
        fetcher: store.fetcher(queue, name),
        lease: settings.lease,
        name,
        isOrdered: store.isOrdered,
      }
      const feed = new Feed(at, this, this.#host.clock)
      this.feeds.push(feed)
      feed.start()
    }
    this.#watchWindows()
  }

  // ── Feeds ──────────────────────────────────────────────────────────────────────────────────────────────────────

  room(feed: Feed): number {
    if (!this.#isFetching || this.#unasked.has(feed.pool)) return 0
    const leased = this.feeds.reduce((sum, other) => sum + (other.pool === feed.pool ? other.leased : 0), 0)
    const slots = (this.#host.slots?.(feed.pool) ?? SLOTS) + this.#parts.settings.prefetch
    return Math.min(slots - leased, feed.limit - feed.leased)
  }

  mayTakeOver(): Promise<boolean> {
    return this.#parts.contact.isSteady()
  }

  fetched(feed: Feed, json: JobJson, id: string, token: string): void {
    // After a fault it can come twice: with the answer, and with a look for what no answer came for.
    if (this.leases.byId.get(id)?.token === token) return
    this.moves++
    this.#admission.fetched(feed, json, id, token)
  }

  #asAdmissionHost(): AdmissionHost {
    return {
      has: (lease) => this.leases.has(lease),
      isLatest: (lease) => this.leases.byJob.get(lease.job) === lease,
      take: (lease) => this.leases.add(lease),
      mark: (lease) => this.begun.mark(lease),
      mayStart: (lease) => this.#suspects.mayStart(lease),
      ready: (lease) => this.#ready(lease),
      finish: (lease, ended) => this.finish(lease, ended),
      lost: (lease) => this.#lost(lease),
      letGo: (lease) => this.#letGo(lease),
    }
  }

  #ready(lease: Lease): void {
    const { job, feed } = lease
    job.state = 'available'
    job.readyAt = Math.round(this.#host.clock.now())
    lease.fetchedAt = job.readyAt
    this.#windows.enter(lease)
    // What was being looked at when the stop came has no place here any more.
    if (!this.#isFetching) return this.#putBack(feed.pool)
    this.#arrive(feed.pool)
  }

  /**
   * Answers that come in one piece are taken up in any order: that of a fetch for many after that of an end which was sent
   * later. None of their jobs is shown before all have their places; promises are through by the next tick.
   */
  #arrive(pool: string): void {
    if (this.#arriving.has(pool)) return
    this.#arriving.add(pool)
    nextTick(() => {
      this.#arriving.delete(pool)
      this.#host.wake(pool)
    })
  }

  /** A fetch is on its way: the store may have handed out a job that has not come yet. */
  get isFetchUnderWay(): boolean {
    return this.feeds.some((feed) => feed.isFetching)
  }

  /** Resolves once no fetch is under way, or after some milliseconds. */
  async fetchesOver(): Promise<void> {
    for (let look = 0; look < 10 && this.isFetchUnderWay; look++) await setTimeout(2)
  }

  // ── Threads ────────────────────────────────────────────────────────────────────────────────────────────────────

  peek(pool: string): JobRecord | undefined {
    if (this.#arriving.has(pool)) return undefined
    const job = this.#windows.peek(pool)
    if (job === undefined && this.#unasked.delete(pool)) this.#look(pool)
    return job
  }

  claim(pool: string): JobRecord | undefined {
    const job = this.peek(pool)
    if (job === undefined) return undefined
    const lease = this.#windows.shift(pool)
    job.state = 'running'
    if (lease !== undefined) this.begun.claimed(lease)
    return job
  }

  giveBack(job: JobRecord): void {
    job.state = 'available'
    const lease = this.leases.byJob.get(job)
    if (lease === undefined) return
    if (lease.isLost) return this.#letGo(lease)
    void this.begun.over(lease)
    lease.fetchedAt = this.#host.clock.now()
    this.#windows.enter(lease)
    this.#host.wake(lease.feed.pool)
  }

  retry(job: JobRecord, dueAt: number): void {
    const lease = this.leases.byJob.get(job)
    job.state = 'retryable'
    if (lease !== undefined) this.#outcomes.retry(lease, dueAt)
  }

  /** Outcomes that came too late. */
  get fenced(): number {
    return this.#outcomes.fenced
  }

  /** Jobs that wait for a thread here: the store counts them as running. */
  get waiting(): number {
    return this.#windows.size
  }

  // ── Ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

  finish(lease: Lease, ended: Ended): void {
    const { job, feed } = lease
    this.#windows.leave(job, feed.pool)
    conclude(job, ended, this.#host.clock.now())
    // The thread is free, but the place is kept for the job that comes with the answer.
    this.#outcomes.end(lease, ended)
  }

  #asOutcomesHost(): OutcomesHost {
    return {
      mayFetch: ({ feed }) => this.#isFetching && !this.#unasked.has(feed.pool),
      written: (lease, next) => this.#written(lease, next),
      letGo: (lease) => this.#letGo(lease),
    }
  }

  #written(lease: Lease, [json, id]: Fetched): void {
    const { feed, token } = lease
    this.moves++
    this.leases.drop(lease)
    this.#suspects.leave(lease)
    if (json && id) this.fetched(feed, json, id, token)
    this.#look(feed.pool)
  }

  // ── Leases ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #lost(lease: Lease): void {
    lease.isLost = true
    const { job, feed } = lease
    // Of one that has ended, the answer to its outcome tells.
    if (!this.leases.has(lease) || lease.isEnding) return
    if (this.#windows.leave(job, feed.pool) || job.state !== 'running') return this.#letGo(lease)
    this.#host.leaseLost?.(job)
    this.#host.wake(feed.pool)
  }

  #letGo(lease: Lease): void {
    if (!this.leases.has(lease)) return
    this.leases.drop(lease)
    this.#suspects.leave(lease)
    if (lease.isForeign) this.#host.adopted(-1)
    this.#look(lease.feed.pool)
  }

  #watchWindows(): void {
    this.#stopTimer = this.#host.clock.timer(UNCLAIMED / 2, () => {
      this.#watchWindows()
      for (const pool of this.#windows.lateSince(this.#host.clock.now() - UNCLAIMED)) this.#putBack(pool)
    })
  }

  /** Nobody takes them: all that wait in a pool go back to the store, until a thread asks again. */
  #putBack(pool: string): void {
    this.#unasked.add(pool)
    // The last one first, so that the first one comes to stand in front.
    for (const lease of this.#windows.empty(pool).reverse()) {
      const { feed, id, token } = lease
      const back = (): Promise<unknown> => feed.backend.moveJobFromActiveToWait(id, token)
      const over = (): void => this.#letGo(lease)
      const before = this.#putBacks
      this.#putBacks = this.#parts.writes.insist(() => before.then(back)).then(over, over)
    }
  }

  /** Fetches no more, and puts back what waits for a thread. */
  async stop(): Promise<void> {
    this.#isFetching = false
    this.#stopTimer?.()
    this.begun.close()
    await Promise.all(this.feeds.map((feed) => feed.stop()))
    for (const pool of this.#windows.pools) this.#putBack(pool)
  }

  #look(pool: string): void {
    for (const feed of this.feeds) if (feed.pool === pool) feed.look()
  }
}
