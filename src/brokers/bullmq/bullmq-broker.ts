/** The BullMQ broker: the port's calls, and which part of the broker a job is with at the moment. */
// long because: every call of the port is answered here with one look at where the job is, and the parts meet here.
import { randomUUID } from 'node:crypto'
import { encode } from '../../rules/codec.ts'
import { type JobRecord, Moved } from '../../rules/job-record.ts'
import { DUPLICATE } from '../../rules/journal-protocol.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { QueueTimeoutError, TaskCancelledError } from '../../words/errors.ts'
import { isTerminal, type JobState } from '../../words/job.ts'
import type { Broker, BrokerHost, BrokerStats, Ended, JobFilter } from '../broker.ts'
import { FinishedJobs } from '../finished-jobs.ts'
import { Timeline } from '../timeline.ts'
import { UniqueKeys } from '../unique-keys.ts'
import { Accepted } from './accepted.ts'
import { conclude } from './conclude.ts'
import { CANCEL_CHANNEL, Elsewhere } from './elsewhere.ts'
import { EndedJobs } from './ended-jobs.ts'
import { Held } from './held.ts'
import { Writes } from './insist.ts'
import { Lines, memberOf } from './lines.ts'
import { type Found, Lookups } from './lookups.ts'
import type { BullmqSettings } from './options.ts'
import { Outbox } from './outbox.ts'
import { Questions } from './questions.ts'
import { queueOf, queuesOf } from './queues.ts'
import { Reach } from './reach.ts'
import type { Store } from './store.ts'
import { Work } from './work.ts'

// How long a stop waits for what is still to be written.
const LAST_WRITES = 5000

/** Keeps jobs in a store that many processes share. */
export class BullmqBroker implements Broker {
  readonly durable = true
  readonly #settings: BullmqSettings
  readonly #store: Store
  readonly #writes = new Writes()
  readonly #lines: Lines
  readonly #lineOf = new WeakMap<JobRecord, string>()
  /** The job of its batch that one stands behind. */
  readonly #behind = new WeakMap<JobRecord, JobRecord>()
  readonly #byName = new Map<string, TaskEntry>()
  /** Jobs that ended before they came to the store, for as long as they can be looked up. */
  readonly #endedHere = new Map<string, JobRecord>()
  readonly #stored = new WeakSet<JobRecord>()
  #host!: BrokerHost
  #accepted!: Accepted
  #elsewhere!: Elsewhere
  #finished!: FinishedJobs
  #held!: Held
  #outbox!: Outbox
  #questions!: Questions
  #reach!: Reach
  #timeouts!: Timeline
  #unique!: UniqueKeys
  #work!: Work
  #opening: Promise<void> = Promise.resolve()
  #foreign = 0
  #isClosing = false

  constructor(settings: BullmqSettings, store: Store) {
    this.#settings = settings
    this.#store = store
    this.#lines = new Lines(store)
  }

  runs(pool: string): boolean {
    const { role, pools } = this.#settings
    return role !== 'producer' && (pools?.includes(pool) ?? true)
  }

  open(host: BrokerHost): Promise<void> {
    this.#host = host
    const { clock } = host
    for (const entry of host.entries) this.#byName.set(entry.task.name, entry)
    const store = this.#store
    const writes = this.#writes
    const lines = this.#lines
    const recheck = Math.min(5000, Math.max(250, Math.round(this.#settings.lease / 6)))
    const queues = queuesOf(host.entries)
    const ended = new EndedJobs(store, host.retention.age)
    const lookups = new Lookups(store, queues, ended, this)
    this.#outbox = new Outbox(store, this, recheck)
    this.#held = new Held(store, writes, lines, recheck, this)
    this.#accepted = new Accepted(store, lookups, host.idPrefix, this.#asAcceptedHost())
    this.#elsewhere = new Elsewhere({ store, writes, lines, ended, lookups }, this.#asElsewhereHost())
    const parts = { store, writes, lines, ended, settings: this.#settings, recheck }
    this.#work = new Work(parts, this.#asWorkHost())
    const asked = { lookups, accepted: this.#accepted, work: this.#work, endedHere: this.#endedHere }
    this.#questions = new Questions(asked, this)
    this.#unique = new UniqueKeys(clock)
    this.#finished = new FinishedJobs(clock, host.retention, (job) => this.#endedHere.delete(this.idOf(job)))
    this.#timeouts = new Timeline(
      clock,
      (job) => this.#expired(job),
      (job) => job.attempts === 0 && !isTerminal(job.state) && !this.#work.leases.byJob.has(job),
    )
    this.#reach = new Reach(host, this.#settings, () => this.#outbox.size)
    const hears = {
      up: () => this.#up(),
      down: (fault: Error) => this.#reach.down(fault),
      message: (channel: string, text: string) => this.#heard(channel, text),
    }
    const channels = [CANCEL_CHANNEL, Accepted.channel(host.idPrefix)]
    this.#opening = store.open(hears, channels, host.retention).then(
      () => {
        if (this.#isClosing) return
        this.#reach.up()
        this.#outbox.open()
        this.#accepted.start()
        const name = `${host.idPrefix}${randomUUID().slice(0, 8)}`
        this.#work.start(
          queues.filter(({ pool }) => this.runs(pool)),
          name,
        )
      },
      (error: Error) => {
        this.#reach.failed(error)
        throw error
      },
    )
    return this.#opening
  }

  // ── What the engine says ───────────────────────────────────────────────────────────────────────────────────────

  add(job: JobRecord, after: JobRecord | null): void {
    if (job.payload instanceof Moved) {
      // The store takes a copy; as everywhere, a payload that was moved has one attempt.
      job.payload = encode(job.payload.value, 'payload')
      job.more.maxAttempts = 1
    }
    this.#accepted.byId.set(this.idOf(job), job)
    const uniqueKey = job.extras?.uniqueKey
    if (uniqueKey !== undefined) this.#unique.hold(uniqueKey, job)
    if (after !== null && !isTerminal(after.state)) this.#standBehind(job, after)
    const expires = job.extras?.queueTimeout
    if (expires !== undefined) this.#timeouts.add(job, this.#host.clock.now() + expires)
    if (job.batch !== null && job.batch.facts === null) {
      job.state = 'held'
      this.#held.add(job)
    } else this.#admit(job)
  }

  #standBehind(job: JobRecord, after: JobRecord): void {
    let line = this.#lineOf.get(after)
    if (line === undefined) {
      line = `b:${this.idOf(after)}`
      this.#lineOf.set(after, line)
      // It is on its way to the store, or there, and knows of no line: it is entered for it.
      if (after.state !== 'held') this.#outbox.enterFirst(job, after)
    }
    this.#lineOf.set(job, line)
    this.#behind.set(job, after)
  }

  #admit(job: JobRecord): void {
    const { extras } = job
    const isDue = extras?.dueAt === undefined || extras.dueAt <= this.#host.clock.now()
    const before = this.#behind.get(job)
    const isBlocked = before !== undefined && !isTerminal(before.state)
    job.state = isBlocked ? 'waiting' : isDue ? 'available' : 'scheduled'
    this.#outbox.add(job, false)
  }

  release(job: JobRecord): void {
    if (job.state !== 'held') return
    if (this.#held.release(job)) this.#admit(job)
  }

  peek(pool: string): JobRecord | undefined {
    return this.#work.peek(pool)
  }

  claim(pool: string): JobRecord | undefined {
    return this.#work.claim(pool)
  }

  giveBack(job: JobRecord): void {
    this.#work.giveBack(job)
  }

  retry(job: JobRecord, dueAt: number): void {
    this.#work.retry(job, dueAt)
  }

  finish(job: JobRecord, ended: Ended): void {
    if (isTerminal(job.state)) return
    const lease = this.#work.leases.byJob.get(job)
    if (lease !== undefined) return this.#work.finish(lease, ended)
    if (this.#held.takeBack(job) || this.#outbox.takeBack(job)) {
      conclude(job, ended, this.#host.clock.now())
      job.extras?.storing?.resolve()
      this.#endedHere.set(this.idOf(job), job)
      this.#finished.add(job)
      return this.#ended(job, this.idOf(job))
    }
    this.#writes.insist(() => this.#endInStore(job, ended)).catch(() => {})
  }

  /** A job on its way to the store, or there, is to end; meanwhile it may have been fetched, here or elsewhere. */
  async #endInStore(job: JobRecord, ended: Ended): Promise<void> {
    await this.stored(job)
    const lease = this.#work.leases.byJob.get(job)
    if (isTerminal(job.state)) return
    if (lease !== undefined && job.state !== 'running') return this.#work.finish(lease, ended)
    const id = this.idOf(job)
    const isOver = lease === undefined && (await this.#elsewhere.end(id, ended, queueOf(job.entry)))
    if (!isOver && ended.state === 'cancelled') this.#elsewhere.cancel(id, job.entry.task.name, undefined)
  }

  cancelElsewhere(job: JobRecord, reason: unknown): boolean {
    const isHere = this.#work.leases.byJob.has(job) || this.#held.has(job) || this.#outbox.has(job)
    if (isHere || isTerminal(job.state)) return false
    this.#elsewhere.cancel(this.idOf(job), job.entry.task.name, reason)
    return true
  }

  #expired(job: JobRecord): void {
    const limit = job.extras?.queueTimeout ?? job.entry.task.policy.queueTimeout
    this.finish(job, { state: 'dead', error: new QueueTimeoutError(job.entry.task.name, limit) })
  }

  revive(job: JobRecord): void {
    if (job.state !== 'dead') return
    const id = this.idOf(job)
    job.state = 'available'
    job.failures = 0
    job.crashes = 0
    this.#accepted.byId.set(id, job)
    this.#stored.add(job)
    this.#writes.insist(() => this.#elsewhere.revive(id)).catch(() => {})
  }

  progressed(job: JobRecord): void {
    const lease = this.#work.leases.byJob.get(job)
    if (lease === undefined) return
    const value = job.extras?.progress ?? null
    lease.feed.backend.updateProgress(lease.id, value as object).catch(() => {})
    this.#accepted.tell(lease.id, 'progress', job.attempts, JSON.stringify(value))
  }

  logged(job: JobRecord, level: string, message: string): void {
    const lease = this.#work.leases.byJob.get(job)
    lease?.feed.backend.addLog(lease.id, `${level}: ${message}`, MOST_LOG_LINES).catch(() => {})
  }

  refusal(): Error | undefined {
    return this.#reach.refusal()
  }

  stats(): BrokerStats {
    return this.#reach.stats()
  }

  stored(job: JobRecord): Promise<void> {
    if (this.#stored.has(job) || isTerminal(job.state)) return Promise.resolve()
    const { more } = job
    if (more.storing === undefined) {
      more.storing = Promise.withResolvers()
      if (this.#held.store(job)) this.#outbox.add(job, true)
    }
    return more.storing.promise
  }

  nextDue(): number {
    return Number.POSITIVE_INFINITY
  }

  // ── Questions ──────────────────────────────────────────────────────────────────────────────────────────────────

  duplicateOf(uniqueKey: string): JobRecord | undefined {
    return this.#unique.holder(uniqueKey)
  }

  /** Only what this process has itself; about all others the store is asked. */
  get(seq: number): JobRecord | undefined {
    const id = this.#host.idPrefix + seq.toString(36)
    const job = this.#accepted.byId.get(id)
    return job === undefined || this.#isAway(job) ? this.#endedHere.get(id) : job
  }

  find(id: string): Promise<JobRecord | undefined> {
    return this.#questions.find(id)
  }

  list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.#questions.list(filter)
  }

  counts(): Promise<Record<JobState, number>> {
    return this.#questions.counts()
  }

  /** What is on its way to the store is answered for by the store, once it is there. */
  async written(): Promise<void> {
    if (!this.#isClosing) await this.#opening
    if (this.#reach.isUp) await this.#outbox.settle(LAST_WRITES)
  }

  isStored(job: JobRecord): boolean {
    return this.#stored.has(job)
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

  async close(): Promise<void> {
    this.#isClosing = true
    // Their responses will never be over here: they run wherever the others run.
    for (const job of this.#held.giveUp()) this.#admit(job)
    await this.#work.stop()
    if (this.#reach.isUp) await this.#outbox.settle(LAST_WRITES)
    await this.#writes.settle(this.#reach.isUp ? LAST_WRITES : 0)
    this.#outbox.close()
    this.#accepted.close()
    this.#elsewhere.close()
    this.#held.close()
    this.#timeouts.close()
    this.#work.leases.close()
    this.#loseWhatIsNotStored()
    await this.#store.close()
    await this.#opening.catch(() => {})
  }

  #loseWhatIsNotStored(): void {
    for (const [id, job] of [...this.#accepted.byId]) {
      if (this.#stored.has(job) || isTerminal(job.state)) continue
      conclude(job, { state: 'cancelled', reason: 'lost' }, this.#host.clock.now())
      this.#ended(job, id)
    }
  }

  // ── What the parts ask ─────────────────────────────────────────────────────────────────────────────────────────

  get clock(): BrokerHost['clock'] {
    return this.#host.clock
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.#host.idPrefix + job.seq.toString(36)
  }

  queueOf(job: JobRecord): string {
    return queueOf(job.entry)
  }

  lineOf(job: JobRecord): string | undefined {
    return this.#lineOf.get(job)
  }

  entryOf(name: string): TaskEntry | undefined {
    return this.#byName.get(name)
  }

  foreignSeq(): number {
    return --this.#foreign
  }

  /** The outbox has written the job. */
  arrived(job: JobRecord, isDuplicate: boolean): void {
    if (isDuplicate) {
      job.extras?.storing?.resolve()
      const line = this.#lineOf.get(job)
      const member = memberOf(this.queueOf(job), this.idOf(job))
      if (line !== undefined)
        this.#writes.insist(() => this.#lines.leave(line, member, false)).catch(() => {})
      conclude(job, { state: 'skipped', reason: DUPLICATE }, this.#host.clock.now())
      this.#endedHere.set(this.idOf(job), job)
      this.#finished.add(job)
      return this.#ended(job, this.idOf(job))
    }
    if (isTerminal(job.state) || this.#stored.has(job)) return
    this.#stored.add(job)
    this.#held.arrived(job)
    job.extras?.storing?.resolve()
  }

  #isAway(job: JobRecord): boolean {
    return this.#stored.has(job) && !this.#work.leases.byJob.has(job) && !this.#held.has(job)
  }

  #up(): void {
    this.#reach.up()
    // Messages that were sent in the meantime have not come.
    this.#accepted.look().catch(() => {})
  }

  #heard(channel: string, text: string): void {
    if (!channel.endsWith(CANCEL_CHANNEL)) return this.#accepted.heard(text)
    const { id, reason } = JSON.parse(text) as { id: string; reason?: string }
    const lease = this.#work.leases.byId.get(id)
    if (lease === undefined || isTerminal(lease.job.state)) return
    const { name } = lease.job.entry.task
    if (lease.job.state === 'running') this.#host.cancel?.(lease.job, reason)
    else this.#work.finish(lease, { state: 'cancelled', error: new TaskCancelledError(name, reason) })
  }

  /** A job that this process accepted or ran is over, and everybody is told. */
  #ended(job: JobRecord, id: string): void {
    this.#accepted.byId.delete(id)
    if (job.extras?.uniqueKey !== undefined) this.#unique.over(job)
    this.#host.settled(job)
  }

  #asAcceptedHost(): ConstructorParameters<typeof Accepted>[3] {
    return {
      clock: this.#host.clock,
      queueOf: (job) => this.queueOf(job),
      isAway: (job) => this.#isAway(job),
      ended: (job, id) => {
        const line = this.#lineOf.get(job)
        // Whoever ended it may not have known that it stands in a line.
        if (line !== undefined) {
          const stops = job.state === 'dead' && job.batch?.onFailure === 'stop'
          const member = memberOf(this.queueOf(job), id)
          this.#writes.insist(() => this.#lines.leave(line, member, stops)).catch(() => {})
        }
        this.#ended(job, id)
      },
    }
  }

  #asElsewhereHost(): ConstructorParameters<typeof Elsewhere>[1] {
    return {
      clock: this.#host.clock,
      found: (id: string, found: Found | undefined) => {
        const job = this.#accepted.byId.get(id)
        if (job !== undefined && found !== undefined) this.#accepted.take(job, id, found)
      },
      tell: (id, state, attempts) => this.#accepted.tell(id, state, attempts, undefined),
    }
  }

  #asWorkHost(): ConstructorParameters<typeof Work>[1] {
    return {
      host: this.#host,
      entryOf: (name) => this.entryOf(name),
      accepted: (id) => {
        const job = this.#accepted.byId.get(id)
        // It can come back before the answer to its being written does.
        if (job !== undefined) this.arrived(job, false)
        return job
      },
      foreignSeq: () => this.foreignSeq(),
      lineOf: (job) => this.#lineOf.get(job),
      ended: (job, id) => {
        const value = job.state === 'completed' ? job.result : undefined
        this.#accepted.tell(id, job.state, job.attempts, value)
        this.#ended(job, id)
      },
    }
  }
}

const MOST_LOG_LINES = 1000
