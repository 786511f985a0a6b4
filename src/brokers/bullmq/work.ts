/**
 * Work: the jobs that this process has fetched, from the fetch to the written outcome. A job that is fetched belongs to
 * this process for the time of its lease, which is renewed; an outcome counts only as long as the lease is ours.
 */
import { setTimeout } from 'node:timers/promises'
import type { JobJson } from 'bullmq'
import type { JobRecord } from '../../rules/job-record.ts'
import { BATCH_FAILED } from '../../rules/journal-protocol.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { ProcessExitedError, QueueTimeoutError } from '../../words/errors.ts'
import { isTerminal } from '../../words/job.ts'
import type { BrokerHost, Ended } from '../broker.ts'
import { conclude } from './conclude.ts'
import type { EndedJobs } from './ended-jobs.ts'
import { Feed, type FeedHost, type Fetched } from './feed.ts'
import type { Writes } from './insist.ts'
import { type Lease, Leases } from './leases.ts'
import { type Lines, lineOfKey, memberOf } from './lines.ts'
import type { BullmqSettings } from './options.ts'
import type { QueueOfTasks } from './queues.ts'
import type { Store } from './store.ts'
import {
  dataOf,
  failedReason,
  payloadOf,
  type StoredData,
  toEnd,
  toRecord,
  toReturnValue,
  toStacktrace,
} from './stored-job.ts'
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
  ended(job: JobRecord, id: string): void
}

interface WorkParts {
  readonly store: Store
  readonly writes: Writes
  readonly lines: Lines
  readonly ended: EndedJobs
  readonly settings: BullmqSettings
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
  readonly feeds: Feed[] = []
  readonly #parts: WorkParts
  readonly #broker: WorkHost
  readonly #host: BrokerHost
  readonly #windows = new Windows()
  /** Pools whose threads do not ask for jobs at present. */
  readonly #unasked = new Set<string>()
  #isFetching = false
  /** One after the other: through several connections they would arrive in any order. */
  #putBacks: Promise<void> = Promise.resolve()
  /** Counts fetches and ends: whoever has asked the store can tell whether its answer still holds. */
  moves = 0
  #stopTimer: (() => void) | undefined

  constructor(parts: WorkParts, broker: WorkHost) {
    this.#parts = parts
    this.#broker = broker
    this.#host = broker.host
    this.leases = new Leases(this.#host.clock, parts.settings.lease, (lease) => this.#lost(lease))
  }

  start(queues: readonly QueueOfTasks[], name: string): void {
    const { store, settings } = this.#parts
    this.#isFetching = true
    for (const { name: queue, pool, limit } of queues) {
      const at = {
        queue,
        pool,
        limit,
        backend: store.fetcher(queue),
        lease: settings.lease,
        name,
        isOrdered: settings.store === 'redis',
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

  fetched(feed: Feed, json: JobJson, id: string, token: string): void {
    this.moves++
    const data = dataOf(json)
    const entry = this.#broker.entryOf(json.name)
    if (entry === undefined) return this.#park(feed, id, token)
    const { clock } = this.#host
    const known = this.#broker.accepted(id)
    const isForeign = known === undefined
    const seq = known?.seq ?? this.#broker.foreignSeq()
    const job = toRecord(json, data, { seq, id, entry, clock, known })
    if (isForeign) this.#host.adopted(1)
    const now = clock.now()
    const stalls = Number(json.stalledCounter ?? 0)
    const lease: Lease = {
      ...{ job, id, feed, token, data, stalls, isForeign },
      ...{ renewedAt: now, fetchedAt: now, isLost: false },
    }
    this.leases.add(lease)
    job.state = 'available'
    job.payload = payloadOf(data)
    const isPlain = stalls === 0 && data.q === undefined && data.line === undefined && data.key === undefined
    if (isPlain && this.#broker.lineOf(job) === undefined) this.#ready(lease)
    else void this.#parts.writes.insist(() => this.#admit(lease)).catch(() => this.#lost(lease))
  }

  /** A job whose task this process does not know waits for one that does: a deploy may be under way. */
  #park(feed: Feed, id: string, token: string): void {
    const { writes, recheck } = this.#parts
    const park = (): Promise<unknown> =>
      feed.backend.moveToDelayed(id, Date.now(), recheck, token, { skipAttempt: true }) as Promise<unknown>
    writes.insist(park).catch(() => {})
  }

  /** Everything that can keep a fetched job from running. */
  async #admit(lease: Lease): Promise<void> {
    const { job, data } = lease
    const { task } = job.entry
    if (data.q !== undefined && job.attempts === 0 && this.#host.clock.wall() > data.q) {
      const error = new QueueTimeoutError(task.name, data.q - data.a)
      return this.finish(lease, { state: 'dead', error })
    }
    if (lease.stalls > 0 && job.crashes > 0 && this.#isLastCrash(lease)) return
    const member = memberOf(lease.feed.queue, lease.id)
    const line = data.line ?? this.#broker.lineOf(job)
    if (line !== undefined) {
      const { isFirst, isStopped } = await this.#parts.lines.join(line, member)
      if (isStopped) return this.finish(lease, { state: 'skipped', reason: BATCH_FAILED })
      if (!isFirst) return this.#postpone(lease, this.#parts.recheck, line)
    }
    const early = (data.d ?? 0) - this.#host.clock.wall()
    if (early > 0 && job.attempts === 0) return this.#postpone(lease, early, undefined)
    if (data.key !== undefined) {
      const key = lineOfKey(data.key)
      if (!(await this.#parts.lines.join(key, member)).isFirst) {
        return this.#postpone(lease, this.#parts.recheck, key)
      }
    }
    const isOurs = !lease.isLost && this.leases.has(lease)
    if (isOurs && !isTerminal(job.state)) this.#ready(lease)
  }

  /** The process that had it ended without a word: a crash, which may have been this job's doing. */
  #isLastCrash(lease: Lease): boolean {
    const { job } = lease
    const { onCrash, maxCrashes } = job.entry.task.policy
    const error = new ProcessExitedError(job.entry.task.name)
    job.more.isSuspect = true
    if (onCrash === 'fail' || job.crashes >= maxCrashes) {
      this.finish(lease, { state: 'dead', error })
      return true
    }
    job.more.errors = [...(job.more.errors ?? []), error]
    return false
  }

  async #postpone(lease: Lease, delay: number, line: string | undefined): Promise<void> {
    const { feed, id, token } = lease
    await feed.backend.moveToDelayed(id, Date.now(), Math.round(delay), token, { skipAttempt: true })
    // It may have been promoted and fetched again before the answer came.
    if (this.leases.byJob.get(lease.job) === lease)
      lease.job.state = line === undefined ? 'scheduled' : 'waiting'
    this.#letGo(lease)
    // From here on the job is not with this process, so that what follows is tried again by itself.
    if (line !== undefined) void this.#parts.writes.insist(() => this.#lookAgain(lease, line)).catch(() => {})
  }

  async #lookAgain({ feed, id }: Lease, line: string): Promise<void> {
    // The one before it may have left the line while this one was on its way back.
    const member = memberOf(feed.queue, id)
    if ((await this.#parts.store.join(line, member)).isFirst) await this.#parts.lines.call(member)
  }

  #ready(lease: Lease): void {
    const { job, feed } = lease
    job.state = 'available'
    job.readyAt = Math.round(this.#host.clock.now())
    lease.fetchedAt = job.readyAt
    this.#windows.enter(lease)
    // What was being looked at when the stop came has no place here any more.
    if (!this.#isFetching) return this.#putBack(feed.pool)
    this.#host.wake(feed.pool)
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
    const job = this.#windows.peek(pool)
    if (job === undefined && this.#unasked.delete(pool)) this.#look(pool)
    return job
  }

  claim(pool: string): JobRecord | undefined {
    const job = this.peek(pool)
    if (job === undefined) return undefined
    this.#windows.shift(pool)
    job.state = 'running'
    return job
  }

  giveBack(job: JobRecord): void {
    job.state = 'available'
    const lease = this.leases.byJob.get(job)
    if (lease === undefined) return
    if (lease.isLost) return this.#letGo(lease)
    lease.fetchedAt = this.#host.clock.now()
    this.#windows.enter(lease)
    this.#host.wake(lease.feed.pool)
  }

  retry(job: JobRecord, dueAt: number): void {
    const lease = this.leases.byJob.get(job)
    job.state = 'retryable'
    if (lease === undefined) return
    const delay = Math.max(0, Math.round(dueAt - this.#host.clock.now()))
    const { id, token, feed } = lease
    const fieldsToUpdate = { failedReason: failedReason(job), stacktrace: toStacktrace(job, lease.stalls) }
    const write = async (): Promise<void> => {
      await feed.backend.moveToDelayed(id, Date.now(), delay, token, { skipAttempt: true, fieldsToUpdate })
    }
    this.#parts.writes.insist(write).then(
      () => this.#letGo(lease),
      () => this.#letGo(lease),
    )
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
    job.more.isUntold = true
    // The thread is free, but the place is kept for the job that comes with the answer.
    const write = (): Promise<Fetched> => this.#writeEnd(lease, ended)
    const written = lease.isLost
      ? Promise.reject(new Error('The lease is lost.'))
      : this.#parts.writes.insist(write)
    written.then(
      (next) => this.#written(lease, ended, next),
      () => this.#fenced(lease),
    )
  }

  async #writeEnd(lease: Lease, ended: Ended): Promise<Fetched> {
    const { job, id, feed, token } = lease
    const { backend } = feed
    const bull = { id, opts: { attempts: 1 } } as never
    if (ended.state === 'completed') {
      const value = toReturnValue(job, ended.result)
      const mayFetch = this.#isFetching && !this.#unasked.has(feed.pool) && this.room(feed) >= 0
      const fetchNext = mayFetch && feed.begin()
      try {
        const { result } = await backend.moveToCompleted(bull, value, undefined as never, token, fetchNext)
        return (result ?? []) as unknown as Fetched
      } finally {
        if (fetchNext) feed.over()
      }
    }
    const isDead = ended.state === 'dead'
    if (!isDead) await this.#parts.ended.put(id, job.entry.task.name, this.#endOf(lease, ended))
    const reason = failedReason(job)
    const fields = { failedReason: reason, stacktrace: toStacktrace(job, lease.stalls) }
    // BullMQ's failed jobs are our dead ones; what ended otherwise is kept apart.
    await backend.moveToFailed(bull, reason, (isDead ? undefined : true) as never, token, false, fields)
    return []
  }

  #endOf(lease: Lease, ended: Ended): StoredData & { end: ReturnType<typeof toEnd> } {
    const { job, data, feed } = lease
    const end = toEnd(job, feed.queue, this.#host.clock.wall(), ended.state, ended.error, ended.reason)
    return { ...data, p: undefined, b: undefined, end }
  }

  #written(lease: Lease, ended: Ended, [json, id]: Fetched): void {
    const { job, feed, token } = lease
    this.moves++
    this.leases.drop(lease)
    if (json && id) this.fetched(feed, json, id, token)
    this.#leaveLines(lease, ended)
    job.more.isUntold = false
    this.#broker.ended(job, lease.id)
    this.#look(feed.pool)
  }

  #leaveLines({ job, data, feed, id }: Lease, { state, reason }: Ended): void {
    const member = memberOf(feed.queue, id)
    const line = data.line ?? this.#broker.lineOf(job)
    const stops = reason === BATCH_FAILED || (state === 'dead' && data.stops === true)
    const { writes, lines } = this.#parts
    if (line !== undefined) writes.insist(() => lines.leave(line, member, stops)).catch(() => {})
    const { key } = data
    if (key !== undefined) writes.insist(() => lines.leave(lineOfKey(key), member, false)).catch(() => {})
  }

  // ── Leases ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #lost(lease: Lease): void {
    lease.isLost = true
    const { job, feed } = lease
    if (!this.leases.has(lease)) return
    if (this.#windows.leave(job, feed.pool) || job.state !== 'running') return this.#letGo(lease)
    this.#host.interrupt?.(job, 'its lease was lost: another process may have it')
    this.#host.wake(feed.pool)
  }

  /** The store did not take the outcome: the job is not ours any more, and what it has done here does not count. */
  #fenced(lease: Lease): void {
    const { job } = lease
    job.more.isUntold = false
    job.state = 'available'
    this.#letGo(lease)
  }

  #letGo(lease: Lease): void {
    if (!this.leases.has(lease)) return
    this.leases.drop(lease)
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
    await Promise.all(this.feeds.map((feed) => feed.stop()))
    for (const pool of this.#windows.pools) this.#putBack(pool)
  }

  #look(pool: string): void {
    for (const feed of this.feeds) if (feed.pool === pool) feed.look()
  }
}
