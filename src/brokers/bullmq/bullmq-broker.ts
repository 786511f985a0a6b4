/** The BullMQ broker: the port's calls, each answered by the part of the broker that a job is with at the moment. */
import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { encode } from '../../rules/codec.ts'
import { type JobRecord, Moved } from '../../rules/job-record.ts'
import { QueueTimeoutError, TaskCancelledError } from '../../words/errors.ts'
import { type AttemptInfo, isTerminal, type JobState } from '../../words/job.ts'
import type { Attempted, Broker, BrokerHost, BrokerStats, Ended, JobFilter } from '../broker.ts'
import { Accepted } from './accepted.ts'
import { type ClusterSchedules, SCHEDULES_CHANNEL } from './cluster-schedules.ts'
import { CANCEL_CHANNEL } from './elsewhere.ts'
import type { BullmqSettings } from './options.ts'
import { makeParts, type Parts, type Whole } from './parts.ts'
import { queueOf } from './queues.ts'
import type { Store } from './store.ts'
import { noteAttempt } from './stored-progress.ts'

// How long a stop waits for what is still to be written.
const LAST_WRITES = 5000
const MOST_LOG_LINES = 1000

/** Keeps jobs in a store that many processes share. */
export class BullmqBroker implements Broker, Whole {
  readonly durable = true
  readonly refills = true
  readonly #settings: BullmqSettings
  readonly #store: Store
  #host!: BrokerHost
  #parts!: Parts
  #opening: Promise<void> = Promise.resolve()
  #isClosing = false

  constructor(settings: BullmqSettings, store: Store) {
    this.#settings = settings
    this.#store = store
  }

  runs(pool: string): boolean {
    const { role, pools } = this.#settings
    return role !== 'producer' && (pools?.includes(pool) ?? true)
  }

  open(host: BrokerHost): Promise<void> {
    this.#host = host
    const parts = makeParts(this.#settings, this.#store, host, this)
    this.#parts = parts
    const hears = {
      up: () => this.up(),
      down: (fault: Error) => parts.reach.down(fault),
      message: (channel: string, text: string) => this.#heard(channel, text),
    }
    const channels = [CANCEL_CHANNEL, SCHEDULES_CHANNEL, Accepted.channel(host.idPrefix)]
    this.#opening = this.#store.open(hears, channels, host.retention).then(
      () => this.#begin(),
      (error: Error) => {
        parts.reach.failed(error)
        throw error
      },
    )
    return this.#opening
  }

  #begin(): void {
    if (this.#isClosing) return
    const { reach, contact, outbox, accepted, work, queues, schedules } = this.#parts
    reach.up()
    void contact.start()
    outbox.open()
    accepted.start()
    schedules.start()
    const name = `${this.#host.idPrefix}${randomUUID().slice(0, 8)}`
    const ours = queues.filter(({ pool }) => this.runs(pool))
    work.start(ours, name)
  }

  // ── What the engine says ───────────────────────────────────────────────────────────────────────────────────────

  add(job: JobRecord, after: JobRecord | null): void {
    const { own, held } = this.#parts
    if (job.payload instanceof Moved) {
      // The store takes a copy; as everywhere, a payload that was moved has one attempt.
      job.payload = encode(job.payload.value, 'payload')
      job.more.maxAttempts = 1
    }
    own.take(job)
    if (after !== null && !isTerminal(after.state)) this.#standBehind(job, after)
    if (job.batch !== null && job.batch.facts === null) {
      job.state = 'held'
      held.add(job)
    } else this.#admit(job)
  }

  #standBehind(job: JobRecord, after: JobRecord): void {
    const { own, outbox, batchLines } = this.#parts
    const isNew = batchLines.stand(job, after, own.idOf(after))
    // The other is on its way to the store, or there, and knows of no line: it is entered for it.
    if (isNew && after.state !== 'held') outbox.enterFirst(job, after)
  }

  #admit(job: JobRecord): void {
    const { extras } = job
    const isDue = extras?.dueAt === undefined || extras.dueAt <= this.#host.clock.now()
    const isBlocked = this.#parts.batchLines.isBlocked(job)
    job.state = isBlocked ? 'waiting' : isDue ? 'available' : 'scheduled'
    this.#parts.outbox.add(job, false)
  }

  release(job: JobRecord): void {
    if (job.state !== 'held') return
    if (this.#parts.held.release(job)) this.#admit(job)
  }

  peek(pool: string): JobRecord | undefined {
    return this.#parts.work.peek(pool)
  }

  claim(pool: string): JobRecord | undefined {
    return this.#parts.work.claim(pool)
  }

  giveBack(job: JobRecord): void {
    this.#parts.work.giveBack(job)
  }

  retry(job: JobRecord, dueAt: number): void {
    this.#parts.progress.write(job)
    this.#parts.work.retry(job, dueAt)
  }

  finish(job: JobRecord, ended: Ended): void {
    if (isTerminal(job.state)) return
    const { work, held, outbox, own, writes, progress } = this.#parts
    const lease = work.leases.byJob.get(job)
    progress.write(job)
    if (lease !== undefined) return work.finish(lease, ended)
    if (held.takeBack(job) || outbox.takeBack(job)) return own.endHere(job, ended)
    writes.insist(() => this.#endInStore(job, ended)).catch(() => {})
  }

  /** A job on its way to the store, or there, is to end; meanwhile it may have been fetched, here or elsewhere. */
  async #endInStore(job: JobRecord, ended: Ended): Promise<void> {
    await this.stored(job)
    const { work, elsewhere, own } = this.#parts
    const lease = work.leases.byJob.get(job)
    if (isTerminal(job.state)) return
    if (lease !== undefined && job.state !== 'running') return work.finish(lease, ended)
    const id = own.idOf(job)
    const isOver = lease === undefined && (await elsewhere.end(id, ended, queueOf(job.entry)))
    if (!isOver && ended.state === 'cancelled') elsewhere.cancel(id, job.entry.task.name, undefined)
  }

  cancelElsewhere(job: JobRecord, reason: unknown): boolean {
    const { work, held, outbox, elsewhere, own } = this.#parts
    const isHere = work.leases.byJob.has(job) || held.has(job) || outbox.has(job)
    if (isHere || isTerminal(job.state)) return false
    elsewhere.cancel(own.idOf(job), job.entry.task.name, reason)
    return true
  }

  expired(job: JobRecord): void {
    const limit = job.extras?.queueTimeout ?? job.entry.task.policy.queueTimeout
    this.finish(job, { state: 'dead', error: new QueueTimeoutError(job.entry.task.name, limit) })
  }

  revive(job: JobRecord): void {
    if (job.state !== 'dead') return
    const { own, writes, elsewhere } = this.#parts
    job.state = 'available'
    job.failures = 0
    job.crashes = 0
    own.takeAgain(
      job,
      writes.insist(() => elsewhere.revive(own.idOf(job), this.#host.idPrefix)),
    )
  }

  attempted(job: JobRecord, attempt: Attempted): void {
    const lease = this.#parts.work.leases.byJob.get(job)
    const { clock } = this.#host
    if (lease !== undefined) noteAttempt(lease.history, job, attempt, clock.wall() - clock.now())
  }

  progressed(job: JobRecord): void {
    this.#parts.progress.told(job)
  }

  logged(job: JobRecord, level: string, message: string): void {
    const lease = this.#parts.work.leases.byJob.get(job)
    lease?.feed.backend.addLog(lease.id, `${level}: ${message}`, MOST_LOG_LINES).catch(() => {})
  }

  get schedules(): ClusterSchedules {
    return this.#parts.schedules
  }

  refusal(): Error | undefined {
    return this.#parts.reach.refusal()
  }

  stats(): BrokerStats {
    const { reach, work } = this.#parts
    return { ...reach.stats(), fenced: work.fenced }
  }

  stored(job: JobRecord): Promise<void> {
    const { own, held, outbox } = this.#parts
    if (own.isStored(job) || isTerminal(job.state)) return Promise.resolve()
    const { more } = job
    if (more.storing === undefined) {
      more.storing = Promise.withResolvers()
      if (held.store(job)) outbox.add(job, true)
    }
    return more.storing.promise
  }

  nextDue(): number {
    return Number.POSITIVE_INFINITY
  }

  // ── Questions ──────────────────────────────────────────────────────────────────────────────────────────────────

  duplicateOf(uniqueKey: string): JobRecord | undefined {
    return this.#parts.own.duplicateOf(uniqueKey)
  }

  /** Only what this process has itself; about all others the store is asked. */
  get(seq: number): JobRecord | undefined {
    const { own, isAway } = this.#parts
    const id = this.#host.idPrefix + seq.toString(36)
    const job = own.byId.get(id)
    return job === undefined || isAway(job) ? own.endedHere.get(id) : job
  }

  find(id: string): Promise<JobRecord | undefined> {
    return this.#parts.questions.find(id)
  }

  list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.#parts.questions.list(filter)
  }

  history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    return this.#parts.questions.history(job, this.#parts.own.idOf(job))
  }

  async remove(job: JobRecord): Promise<boolean> {
    const { own, elsewhere } = this.#parts
    const id = own.idOf(job)
    await this.written()
    return own.endedHere.delete(id) || elsewhere.remove(id)
  }

  counts(): Promise<Record<JobState, number>> {
    return this.#parts.questions.counts()
  }

  /** What is on its way to the store is answered for by the store, once it is there. */
  async written(): Promise<void> {
    if (!this.#isClosing) await this.#opening
    const { reach, outbox } = this.#parts
    if (reach.isUp) await outbox.settle(LAST_WRITES)
    await this.#parts.own.revived()
  }

  // ── The end, and what is heard ─────────────────────────────────────────────────────────────────────────────────

  async close(): Promise<void> {
    this.#isClosing = true
    const { held, work, reach, contact, outbox, writes, accepted, elsewhere, own, schedules, progress } =
      this.#parts
    // Their responses will never be over here: they run wherever the others run.
    for (const job of held.giveUp()) this.#admit(job)
    // What is being fetched comes with an answer, which a store that is away does not give.
    const patience = new AbortController()
    const { signal } = patience
    const deadline = setTimeout(reach.isUp ? LAST_WRITES : 0, undefined, { signal }).catch(() => {})
    await Promise.race([work.stop(), deadline])
    patience.abort()
    if (reach.isUp) await outbox.settle(LAST_WRITES)
    await writes.settle(reach.isUp ? LAST_WRITES : 0)
    const parts = [contact, outbox, accepted, elsewhere, held, own, schedules, progress, work.leases]
    for (const part of parts) part.close()
    own.loseWhatIsNotStored()
    await this.#store.close()
    await this.#opening.catch(() => {})
  }

  up(): void {
    const { reach, work, writes } = this.#parts
    reach.up()
    // First whose the jobs are, then what became of them: others wait for it.
    void work.leases.renew()
    writes.again()
    // Messages that were sent in the meantime have not come.
    this.#parts.accepted.look().catch(() => {})
    this.#parts.schedules.look()
  }

  #heard(channel: string, text: string): void {
    try {
      this.#take(channel, text)
    } catch {
      // Anybody who reaches the store can send on a channel: what cannot be read says nothing.
    }
  }

  #take(channel: string, text: string): void {
    const { accepted, work, schedules } = this.#parts
    if (channel.endsWith(SCHEDULES_CHANNEL)) return schedules.heard(text)
    if (!channel.endsWith(CANCEL_CHANNEL)) return accepted.heard(text)
    const { id, reason } = JSON.parse(text) as { id: string; reason?: string }
    const lease = work.leases.byId.get(id)
    if (lease === undefined || isTerminal(lease.job.state)) return
    const { name } = lease.job.entry.task
    if (lease.job.state === 'running') this.#host.cancel?.(lease.job, reason)
    else work.finish(lease, { state: 'cancelled', error: new TaskCancelledError(name, reason) })
  }
}
