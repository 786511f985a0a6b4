/**
 * The jobs that this process has fetched, from the fetch to the written outcome. A fetched job belongs to this process for
 * the time of its lease, which is renewed; an outcome counts only as long as the lease is ours.
 */
// long because: it is the one place where a fetched job goes from part to part, with one short method for each step
import type { JobRecord } from '../../../rules/job-record.ts'
import type { KeptLine } from '../../../rules/log-lines.ts'
import { ProcessExitedError } from '../../../words/errors.ts'
import { isTerminal, type JobState, type LogLimits } from '../../../words/job.ts'
import { applyEnding } from '../../lifecycle/ending.ts'
import type { Retries } from '../../lifecycle/retries.ts'
import { type Attempt, type Ending, ranOf } from '../../port/attempt.ts'
import type { BrokerHost } from '../../port/host.ts'
import type { BrokerSettings } from '../options.ts'
import type { QueueOfTasks } from '../queues.ts'
import type { HealthCheck } from '../store/health-check.ts'
import type { Records } from '../store/job-data.ts'
import { hasCrashed, noteAttempt } from '../store/progress-mark.ts'
import type { Admitted, Claimed, LeaseRef, SharedStore } from '../store/shared-store.ts'
import type { StoreClock } from '../store/store-clock.ts'
import { type Decision, decide } from './admission.ts'
import { Completer, type CompleterHost } from './completer.ts'
import { type FetchHost, FetchLoop } from './fetch-loop.ts'
import { HandOut, type HandOutHost } from './hand-out.ts'
import { JobLogs } from './job-logs.ts'
import { type Lease, Leases, RENEWALS } from './leases.ts'
import { Quarantine } from './quarantine.ts'

/** What the consumer tells and asks. */
export interface ConsumerHost {
  /** The record of a job that this process accepted: the store has it, since it was fetched. */
  accepted(id: string): JobRecord | undefined
  /** The lock of the batch that a job of this process is in. */
  lineOf(job: JobRecord): string | undefined
  /** The end of a job that ran here is written. */
  ended(lease: Lease): void
}

/** What the consumer is made of. */
export interface ConsumerParts {
  readonly store: SharedStore
  readonly retries: Retries
  readonly settings: BrokerSettings
  readonly health: HealthCheck
  readonly engine: BrokerHost
  /** The store's time. */
  readonly time: StoreClock
  readonly records: Records
  /** Milliseconds after which a job that waits for another looks again. */
  readonly recheck: number
}

/** The topic on which every process hears of jobs that were set aside. */
export const ASIDE_TOPIC = 'aside'

type Place = Exclude<Admitted, 'behind'> | undefined

/** Fetches, hands out and completes jobs. */
export class Consumer implements FetchHost, CompleterHost, HandOutHost {
  readonly leases: Leases
  readonly logs: JobLogs
  /** Outcomes that the store has refused. */
  refused = 0
  /** Counts fetches and ends: whoever has asked the store can tell whether its answer still holds. */
  moves = 0
  readonly #parts: ConsumerParts
  readonly #host: ConsumerHost
  readonly #loops: FetchLoop[] = []
  readonly #completer: Completer
  readonly #quarantine = new Quarantine()
  /** Tasks whose jobs are not to start here. */
  readonly #held = new Set<string>()
  /** What is yet to be said of jobs that were set aside. */
  readonly #aside = new Set<string>()
  readonly #handOut: HandOut

  constructor(parts: ConsumerParts, host: ConsumerHost) {
    const { retries, settings, engine } = parts
    this.#parts = parts
    this.#host = host
    this.logs = new JobLogs(parts.store.isOrdered)
    this.leases = new Leases(engine.clock, retries, settings.lease, (lease) => this.#lost(lease))
    this.leases.watch = parts.health
    this.#handOut = new HandOut(engine, retries, this)
    this.#completer = new Completer(retries, engine.clock, settings.lease, this)
  }

  /** Starts fetching from these queues; `name` is noted on the jobs that are fetched. */
  start(queues: readonly QueueOfTasks[], name: string): void {
    const { store, settings, time } = this.#parts
    this.#handOut.start()
    for (const { name: queue, pool, limit, tasks } of queues) {
      const of = { queue, pool, limit, tasks, lease: settings.lease, name, isOrdered: store.isOrdered }
      const loop = new FetchLoop(of, store.source(queue, name), this, time)
      this.#loops.push(loop)
      loop.start()
    }
  }

  // ── Fetching ───────────────────────────────────────────────────────────────────────────────────────────────────

  room({ of: { pool, limit }, leased }: FetchLoop): number {
    if (!this.#handOut.isAsked(pool)) return 0
    const ofPool = this.#loops.reduce((sum, loop) => sum + (loop.of.pool === pool ? loop.leased : 0), 0)
    const slots = this.#parts.engine.slots(pool) + this.#parts.settings.prefetch
    return Math.min(slots - ofPool, limit - leased)
  }

  get watch(): HealthCheck {
    return this.#parts.health
  }

  mayReclaim(): Promise<boolean> {
    const { health, time, settings } = this.#parts
    // Leases may have been written by the store's clock as it was before: their owners renew them first.
    return time.hasStepped(settings.lease) ? Promise.resolve(false) : health.isSteady()
  }

  fetched(loop: FetchLoop, { token, job: stored }: Claimed, askedAt: number): void {
    const { id, data, left, starts, stalls } = stored
    // After a fault it can come twice: with the answer, and with a look for what no answer came for.
    if (this.leases.byId.get(id)?.token === token) return
    this.moves++
    const { engine, records, settings } = this.#parts
    const known = this.#host.accepted(id)
    const job = known === undefined ? records.make(stored) : records.update(known, stored)
    if (job === undefined || this.isHeld(stored.name)) {
      // The store refuses it when the job is not ours any more.
      return void this.#setAside(loop, { id, token, starts, stalls }, stored.name).catch(() => {})
    }
    const isForeign = known === undefined
    if (isForeign) engine.pendingChanged(1)
    const { clock } = engine
    const now = clock.now()
    const lease: Lease = {
      job,
      id,
      loop,
      token,
      data,
      starts,
      stalls,
      isForeign,
      attempts: job.attempts,
      history: left.h === undefined ? [] : [...left.h],
      renewedAt: askedAt,
      bufferedAt: now,
      claimedAt: 0,
      isStartRecorded: false,
      isLost: false,
      isEnding: false,
      ran: 0,
    }
    this.leases.add(lease)
    job.state = 'available'
    job.payload = stored.payload
    const isCrash = hasCrashed(left, stalls)
    if (now - askedAt < settings.lease / RENEWALS) this.#take(lease, isCrash)
    else void this.#takeLate(lease, isCrash)
  }

  /** A lease counts from when the store wrote it: an answer may come so late that another process has the job by now. */
  async #takeLate(lease: Lease, isCrash: boolean): Promise<void> {
    try {
      if (await this.#isOurs(lease)) return this.#take(lease, isCrash)
    } catch {
      // Then it is not.
    }
    this.#lost(lease)
  }

  async #isOurs(lease: Lease): Promise<boolean> {
    const { source, of } = lease.loop
    const { retries, engine } = this.#parts
    let askedAt = 0
    const gone = await retries.retry(() => {
      askedAt = engine.clock.now()
      return source.renew([lease], of.lease)
    })
    if (gone.length > 0) return false
    lease.renewedAt = Math.max(lease.renewedAt, askedAt)
    return true
  }

  #take(lease: Lease, isCrash: boolean): void {
    // Meanwhile it may have been cancelled, or taken from this process.
    if (lease.isLost || !this.leases.has(lease) || isTerminal(lease.job.state)) return
    const { job } = lease
    if (isCrash) lease.history.push([job.attempts, 'crashed', null, null, null])
    const decision = this.#decide(lease, isCrash)
    if (isCrash && decision.do !== 'end') {
      job.more.errors = [...(job.more.errors ?? []), new ProcessExitedError(job.entry.task.name)]
    }
    // Nothing can keep most jobs from running, and nothing has to be written before.
    if (decision.do === 'run' && !decision.recordStart) return this.#handOut.enter(lease)
    if (decision.do === 'end') return this.finish(lease, decision.ended)
    this.#parts.retries.retry(() => this.#admit(lease)).catch(() => this.#admitAgain(lease))
  }

  isHeld(task: string): boolean {
    return this.#held.has(task)
  }

  /** No job of a task is to start here, or they may start again. Meanwhile they stay aside, where another process finds them. */
  hold(task: string, isHeld: boolean): void {
    if (isHeld) {
      this.#held.add(task)
      for (const lease of this.#handOut.hold(task)) this.setLeaseAside(lease)
    } else {
      this.#held.delete(task)
      for (const loop of this.#loops) loop.lookAside(task)
    }
  }

  setLeaseAside(lease: Lease): void {
    const over = (): void => this.isBack(lease)
    this.#setAside(lease.loop, lease, lease.job.entry.task.name).then(over, over)
  }

  /** A job that is not to run here waits for a process where it can: a deploy may be under way. */
  async #setAside(loop: FetchLoop, lease: LeaseRef, task: string): Promise<void> {
    const { retries, store, engine } = this.#parts
    await retries.retry(async () => {
      await loop.source.setAside(lease, task)
      this.moves++
      if (this.#aside.size === 0) {
        engine.clock.soon(() => {
          for (const text of this.#aside) store.publish(ASIDE_TOPIC, text)
          this.#aside.clear()
        })
      }
      this.#aside.add(JSON.stringify([loop.of.queue, task]))
    })
  }

  /** A process has set jobs of a task aside: what `setAside` has said. */
  heardOfAside(text: string): void {
    const [queue, task] = JSON.parse(text) as [string, string]
    for (const loop of this.#loops) if (loop.of.queue === queue) loop.lookAside(task)
  }

  /** A lease that ran out while the store was away, or that it has forgotten, may still be ours. */
  async #admitAgain(lease: Lease): Promise<void> {
    try {
      if (await this.#isOurs(lease)) return await this.#parts.retries.retry(() => this.#admit(lease))
    } catch {
      // Then it is not.
    }
    this.#lost(lease)
  }

  async #admit(lease: Lease): Promise<void> {
    let place: Place
    let admitted = 0
    // Meanwhile it may have been cancelled, or taken from this process.
    while (!(lease.isLost || isTerminal(lease.job.state))) {
      const decision = this.#decide(lease, false, place, admitted)
      if (decision.do === 'end') return this.finish(lease, decision.ended)
      if (decision.do === 'postpone') return this.#postpone(lease, decision.delay)
      if (decision.do === 'run') return this.#run(lease, decision)
      const answer = await lease.loop.source.admit(lease, decision.locks)
      if (answer === 'behind') return this.isBack(lease, 'waiting')
      place = answer
      admitted = decision.locks.length
    }
  }

  #decide(lease: Lease, isCrash: boolean, place?: Place, admitted = 0): Decision {
    const { job, data, stalls } = lease
    const { attempts, crashes } = job
    const { task } = job.entry
    const line = this.lineOf(lease)
    const candidate = { task, data, line, place, admitted, attempts, crashes, stalls, hasCrashed: isCrash }
    return decide(candidate, this.#parts.time.wall())
  }

  /** What may end its process is written down before it starts. */
  async #run(lease: Lease, decision: { isSuspect: boolean; recordStart: boolean }): Promise<void> {
    const { job } = lease
    if (decision.isSuspect && !this.#quarantine.mayStart(lease)) {
      return this.#postpone(lease, this.#parts.recheck)
    }
    job.more.isSuspect = decision.isSuspect
    if (decision.recordStart) await this.leases.recordStart(lease)
    if (!lease.isLost && this.leases.has(lease) && !isTerminal(job.state)) this.#handOut.enter(lease)
  }

  async #postpone(lease: Lease, delay: number): Promise<void> {
    await lease.loop.source.postpone(lease, delay)
    this.isBack(lease, 'scheduled')
  }

  /** A job is back in the store. It may have come forward and been fetched again before the answer came. */
  isBack(lease: Lease, state?: JobState): void {
    // It was cancelled meanwhile: the answer to its end tells whose it is.
    if (lease.isEnding) return
    if (state !== undefined && this.leases.byJob.get(lease.job) === lease) lease.job.state = state
    this.letGo(lease)
  }

  /** A fetch is on its way: the store may have handed out a job that has not come yet. */
  get isFetchUnderWay(): boolean {
    return this.#loops.some((loop) => loop.isFetching)
  }

  // ── Threads ────────────────────────────────────────────────────────────────────────────────────────────────────

  peek(pool: string): JobRecord | undefined {
    let job = this.#handOut.peek(pool)
    while (job !== undefined && !this.leases.isSure(job)) job = this.#handOut.peek(pool)
    return job
  }

  claim(pool: string): JobRecord | undefined {
    const lease = this.#handOut.claim(pool)
    if (lease === undefined) return undefined
    lease.job.state = 'running'
    this.leases.claimed(lease)
    return lease.job
  }

  putBack(job: JobRecord): void {
    job.state = 'available'
    const lease = this.leases.byJob.get(job)
    if (lease === undefined) return
    if (lease.isLost) return this.letGo(lease)
    this.leases.takeBack(lease)
    this.#handOut.enterAgain(lease)
  }

  /** Jobs that wait for a thread here: the store counts them as running. */
  get waiting(): number {
    return this.#handOut.size
  }

  // ── Outcomes ───────────────────────────────────────────────────────────────────────────────────────────────────

  attempted(job: JobRecord, attempt: Attempt): void {
    const lease = this.leases.byJob.get(job)
    const { time } = this.#parts
    if (lease !== undefined) noteAttempt(lease.history, job, attempt, time.wall() - time.now())
  }

  /** Writes the progress of a job that runs here; returns the job's id. */
  progressed(job: JobRecord): string | undefined {
    const lease = this.leases.byJob.get(job)
    lease?.loop.source.setProgress(lease.id, job.extras?.progress)
    return lease?.id
  }

  logged(job: JobRecord, line: KeptLine, limits: LogLimits): void {
    const lease = this.leases.byJob.get(job)
    if (lease !== undefined) this.logs.add(lease, line, limits)
  }

  retry(job: JobRecord, dueAt: number): void {
    const lease = this.leases.byJob.get(job)
    job.state = 'retryable'
    if (lease !== undefined) this.#completer.retry(lease, dueAt)
  }

  finish(lease: Lease, ended: Ending): void {
    const { attempt } = ended
    lease.ran = ranOf(attempt)
    if (attempt !== undefined && attempt.outcome !== 'completed') this.attempted(lease.job, attempt)
    this.#handOut.leave(lease)
    applyEnding(lease.job, ended, this.#parts.engine.clock.now())
    // The thread is free, but the place is kept for the job that comes with the answer.
    this.#completer.end(lease, ended)
  }

  lineOf({ data, job }: Lease): string | undefined {
    return data.line ?? this.#host.lineOf(job)
  }

  mayFetch({ loop }: Lease): boolean {
    return this.#handOut.isAsked(loop.of.pool)
  }

  written(lease: Lease, next: Claimed | undefined, askedAt: number): void {
    this.moves++
    this.leases.drop(lease)
    this.#quarantine.leave(lease)
    if (next !== undefined) this.fetched(lease.loop, next, askedAt)
    this.look(lease.loop.of.pool)
  }

  ended(lease: Lease): void {
    this.#host.ended(lease)
  }

  fenced({ job }: Lease, state: JobState): void {
    this.refused++
    this.#parts.engine.fenced(job, state)
  }

  // ── Leases ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #lost(lease: Lease): void {
    lease.isLost = true
    const { job, loop } = lease
    // Of one that has ended, the answer to its outcome tells.
    if (!this.leases.has(lease) || lease.isEnding) return
    if (this.#handOut.leave(lease) || job.state !== 'running') return this.letGo(lease)
    this.#parts.engine.leaseLost(job)
    this.#parts.engine.wake(loop.of.pool)
  }

  /** What became of a job here does not count. It may have come again meanwhile, under another lease. */
  giveUp(lease: Lease): void {
    const { job } = lease
    if ((this.leases.byJob.get(job) ?? lease) === lease) {
      job.more.isUnreported = false
      job.state = 'available'
    }
    this.letGo(lease)
  }

  letGo(lease: Lease): void {
    if (!this.leases.has(lease)) return
    this.leases.drop(lease)
    this.#quarantine.leave(lease)
    if (lease.isForeign) this.#parts.engine.pendingChanged(-1)
    this.look(lease.loop.of.pool)
  }

  /** Fetches no more, and puts back what waits for a thread. */
  async stop(): Promise<void> {
    this.#handOut.close()
    this.leases.stopRecording()
    await Promise.all(this.#loops.map((loop) => loop.stop()))
    this.#handOut.putAllBack()
  }

  look(pool: string): void {
    // Whichever queue waits longest has the first go at a place.
    const waiting = this.#loops.filter(({ of, waitsSince }) => of.pool === pool && waitsSince !== undefined)
    if (waiting.length > 1) waiting.sort((one, other) => (one.waitsSince ?? 0) - (other.waitsSince ?? 0))
    for (const loop of waiting) loop.look()
  }

  isAwaited(loop: FetchLoop): boolean {
    if (this.#loops.length === 1) return false
    return this.#loops.some(
      ({ of, leased, waitsSince }) =>
        of.pool === loop.of.pool && of !== loop.of && leased === 0 && waitsSince !== undefined,
    )
  }
}
