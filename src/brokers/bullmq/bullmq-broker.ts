/** The BullMQ broker: the port's calls, each answered by the part that the job is with at the moment. */
// long because: it is each capability of the port, with one short method for each call
import type { JobRecord } from '../../rules/job-record.ts'
import type { KeptLine, KeptLog } from '../../rules/log-lines.ts'
import { Moved } from '../../rules/moved.ts'
import { toReadable } from '../../rules/readable.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { isStranger } from '../../rules/stranger.ts'
import { AftertaskError, TaskCancelledError } from '../../words/errors.ts'
import { type AttemptInfo, isTerminal, type JobState, type LogLimits } from '../../words/job.ts'
import { expiry, hasWaitedTooLong } from '../lifecycle/queue-timeouts.ts'
import { within } from '../lifecycle/retries.ts'
import type { Attempt, Ending } from '../port/attempt.ts'
import type {
  AttemptSink,
  Broker,
  BrokerStats,
  Cluster,
  Durability,
  IntakeBroker,
  JobDirectory,
  JobFilter,
  ReadyJobs,
} from '../port/broker.ts'
import type { BrokerHost } from '../port/host.ts'
import type { Found, JobSearch } from '../port/search.ts'
import type { TaskTally } from '../port/tally.ts'
import { ASIDE_TOPIC } from './consumer/consumer.ts'
import type { Lease } from './consumer/leases.ts'
import { CANCEL_TOPIC } from './local/remote-jobs.ts'
import { Settlements } from './local/settlements.ts'
import { type BrokerSettings, ignoredOptions } from './options.ts'
import { Queries } from './queries.ts'
import { queueOfJob, queuesOf } from './queues.ts'
import { type ClusterSchedules, SCHEDULES_TOPIC } from './store/cluster-schedules.ts'
import type { StoreFault } from './store/faults.ts'
import type { SharedStore } from './store/shared-store.ts'
import { type PartEvents, Parts } from './wiring.ts'

// How long a stop waits for what is still to be written, if it is given the time.
const LAST_WRITES = 5000
// Of the time that is left, such a part is for each thing that has to be written; the rest is for closing.
const FOR_WRITES = 0.6
const LEAST_CLOSE = 200
const TRIED_AGAIN = 'It is tried again every ten seconds.'

/** Keeps jobs in a store that many processes share. */
export class BullmqBroker
  implements Broker, IntakeBroker, ReadyJobs, AttemptSink, JobDirectory, Durability, Cluster, PartEvents
{
  readonly intake: IntakeBroker = this
  readonly ready: ReadyJobs = this
  readonly attempts: AttemptSink = this
  readonly jobs: JobDirectory = this
  readonly changes = null
  readonly durability: Durability = this
  readonly cluster: Cluster = this
  readonly storesPayloads = true
  /** Another process may hold any key. */
  readonly ownsKeys = false
  readonly refills = true
  /** Other processes go on: each holds a task back by itself. */
  readonly holdsTasks = true
  /** Of an attempt that completes its job BullMQ itself keeps when it began and ended. */
  readonly keepsHistory = false
  readonly #settings: BrokerSettings
  readonly #store: SharedStore
  #engine!: BrokerHost
  #parts!: Parts
  #queries!: Queries
  #opening: Promise<void> = Promise.resolve()
  /** The store has been reached, and its time is known. */
  #hasBegun = false
  #isClosing = false

  constructor(store: SharedStore, settings: BrokerSettings) {
    this.#settings = settings
    this.#store = store
  }

  runs(pool: string): boolean {
    const { role, pools } = this.#settings
    return role !== 'producer' && (pools?.includes(pool) ?? true)
  }

  open(engine: BrokerHost): Promise<void> {
    this.#engine = engine
    const ignored = ignoredOptions(engine)
    if (ignored !== undefined) engine.warn(ignored)
    const parts = new Parts(this.#settings, this.#store, engine, this)
    this.#parts = parts
    this.#queries = new Queries(parts, () => this.#written())
    const { retention } = engine
    const { recheck } = parts
    const queues = queuesOf(engine.entries).map(({ name }) => name)
    const topics = [CANCEL_TOPIC, ASIDE_TOPIC, SCHEDULES_TOPIC, Settlements.topic(engine.idPrefix)]
    const refused = Promise.withResolvers<never>()
    const down = (fault: StoreFault): void => {
      parts.health.cut()
      parts.availability.down('connection', fault)
      // It is tried again all the same; who waits for `ready()` is told what somebody has to do.
      if (fault.isPermanent) refused.reject(parts.availability.error(TRIED_AGAIN))
    }
    const events = {
      up: () => this.#connected(),
      down,
      message: (topic: string, text: string) => this.#onMessage(topic, text),
    }
    const opening = { clock: parts.time, isSettled: () => !parts.time.hasStepped() }
    this.#opening = this.#store.open({ ...opening, events, topics, queues, retention, recheck }).then(
      () => this.#reached(),
      (error: unknown) => {
        if (!(error instanceof AftertaskError)) throw error
        parts.availability.down('connection', this.#store.explain(error))
        throw error
      },
    )
    // Whoever waits for `ready()` hears of it.
    this.#opening.catch(() => {})
    parts.asking.reached = this.#opening
    return Promise.race([this.#opening, refused.promise])
  }

  async #reached(): Promise<void> {
    if (this.#isClosing) return
    const { health, retries, time } = this.#parts
    void health.start()
    // Before anything goes by it. The connection may break again before the answer comes.
    await time.learn({ time: () => retries.retry(() => this.#store.time()) })
    this.#begin()
  }

  #begin(): void {
    if (this.#isClosing) return
    this.#hasBegun = true
    const { availability, producer, settlements, consumer, schedules, time } = this.#parts
    availability.up('connection')
    producer.open()
    settlements.start()
    schedules.start()
    schedules.look()
    time.start(this.#store, this.#settings.lease)
    consumer.start(
      queuesOf(this.#engine.entries).filter(({ pool }) => this.runs(pool)),
      this.#engine.idPrefix,
    )
  }

  // ── Jobs on their way ──────────────────────────────────────────────────────────────────────────────────────────

  add(job: JobRecord, after: JobRecord | null): void {
    const { local, producer } = this.#parts
    if (job.payload instanceof Moved) {
      // The store takes a copy; as everywhere, a payload that was moved has one attempt.
      job.payload = job.payload.plain('payload')
      job.more.maxAttempts = 1
    }
    local.accept(job)
    if (after !== null && !isTerminal(after.state)) {
      const isNew = local.putBehind(job, after)
      // The other is on its way to the store, or there, and knows of no lock: it joins by this job. So does one whose batch
      // is letting its jobs go, and which comes to the store after a job that a listener adds meanwhile.
      const joins = after.state === 'held' ? (after.batch?.facts ?? null) !== null : isNew
      if (joins) producer.enterFirst(job, after)
    }
    if (job.batch !== null && job.batch.facts === null) job.state = 'held'
    else this.#admit(job)
  }

  #admit(job: JobRecord): void {
    const { local, producer } = this.#parts
    const dueAt = job.extras?.dueAt
    const isDue = dueAt === undefined || dueAt <= this.#engine.clock.now()
    job.state = local.isBlocked(job) ? 'waiting' : isDue ? 'available' : 'scheduled'
    producer.add(job)
  }

  release(job: JobRecord): void {
    if (job.state !== 'held') return
    const { local, producer } = this.#parts
    if (!local.released(job)) return this.#admit(job)
    job.state = 'available'
    producer.release(job)
  }

  stored(job: JobRecord): Promise<void> {
    const { local, producer } = this.#parts
    if (local.isStored(job) || isTerminal(job.state)) return Promise.resolve()
    const { more } = job
    if (more.storing === undefined) {
      more.storing = Promise.withResolvers()
      if (local.at(job)?.at === 'held') producer.hold(job)
    }
    return more.storing.promise
  }

  refusal(): Error | undefined {
    return this.#parts.availability.refusal()
  }

  holderOf(uniqueKey: string): JobRecord | undefined {
    return this.#parts.local.holderOf(uniqueKey)
  }

  takeKey(): void {}

  /** The record of a job is held here until the job is over. */
  pin(): void {}

  current(job: JobRecord): JobRecord {
    return job
  }

  detach(job: JobRecord): void {
    this.#parts.local.detach(job)
  }

  // ── Jobs that run here ─────────────────────────────────────────────────────────────────────────────────────────

  peek(pool: string): JobRecord | undefined {
    return this.#parts.consumer.peek(pool)
  }

  claim(pool: string): JobRecord | undefined {
    return this.#parts.consumer.claim(pool)
  }

  sent(): void {}

  hold({ task }: TaskEntry, isHeld: boolean): void {
    this.#parts.consumer.hold(task.name, isHeld)
  }

  putBack(job: JobRecord, attempt: Attempt | null): void {
    const { consumer } = this.#parts
    if (attempt !== null) consumer.attempted(job, attempt)
    else if (hasWaitedTooLong(job, this.#engine.clock.now())) return this.finish(job, expiry(job))
    consumer.putBack(job)
  }

  nextDue(): number {
    return Number.POSITIVE_INFINITY
  }

  progress(job: JobRecord): void {
    this.#parts.progress.told(job)
  }

  writeProgress(job: JobRecord): void {
    const { consumer, settlements } = this.#parts
    const id = consumer.progressed(job)
    if (id !== undefined) settlements.tell(id, 'progress', job.attempts, toReadable(job.extras?.progress))
  }

  log(job: JobRecord, line: KeptLine, limits: LogLimits): void {
    this.#parts.consumer.logged(job, line, limits)
  }

  retry(job: JobRecord, dueAt: number, attempt: Attempt): void {
    const { consumer, progress } = this.#parts
    consumer.attempted(job, attempt)
    progress.write(job)
    consumer.retry(job, dueAt)
  }

  /** A job that this process accepted was fetched here: the store has it, though its answer may not have come. */
  accepted(id: string): JobRecord | undefined {
    const { local } = this.#parts
    const job = local.byId.get(id)
    if (job !== undefined) local.arrived(job)
    return job
  }

  lineOf(job: JobRecord): string | undefined {
    return this.#parts.local.lineOf(job)
  }

  // ── Ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

  finish(job: JobRecord, ended: Ending): void {
    if (isTerminal(job.state)) return
    const { local, producer, consumer, retries, progress } = this.#parts
    progress.write(job)
    const location = local.at(job)
    // While an outcome is being written, such as that it is to be tried again, no second one can be.
    if (location?.at === 'leased' && !location.lease.isEnding) return consumer.finish(location.lease, ended)
    switch (location?.at) {
      case 'held':
      case 'buffered':
        producer.takeBack(job)
        return local.endHere(job, ended)
      default:
        retries.see(() => this.#endInStore(job, ended))
    }
  }

  /** A job on its way to the store, or there, is to end; meanwhile it may have been fetched, here or elsewhere. */
  async #endInStore(job: JobRecord, ended: Ending): Promise<void> {
    await this.stored(job)
    const { local, consumer, remote } = this.#parts
    if (isTerminal(job.state)) return
    const location = local.at(job)
    const isLeased = location?.at === 'leased' && !location.lease.isEnding
    if (isLeased && job.state !== 'running') return consumer.finish(location.lease, ended)
    const id = local.idOf(job)
    const isOver = !isLeased && (await remote.end(id, ended, queueOfJob(job)))
    if (!isOver && ended.state === 'cancelled') await remote.cancel(id, job.entry.task.name, undefined)
  }

  cancelRemote(job: JobRecord, reason: unknown): Promise<void> | false {
    const { local, remote } = this.#parts
    const at = local.at(job)?.at
    if (at === 'leased' || at === 'held' || at === 'buffered' || isTerminal(job.state)) return false
    const cancel = (): Promise<void> => remote.cancel(local.idOf(job), job.entry.task.name, reason)
    // What the store does not have yet is not found there.
    const asked = at === 'writing' ? this.stored(job).then(cancel) : cancel()
    // It is asked for until it is so; whoever waits for that is told when it takes too long. Not everybody waits.
    const answered = this.#parts.asking.ask(() => asked)
    for (const promise of [asked, answered]) promise.catch(() => {})
    return answered
  }

  expired(job: JobRecord): void {
    this.finish(job, expiry(job))
  }

  /** The end of a job that ran here is written. */
  ended({ job, id, data, ran }: Lease): void {
    const { extras } = job
    const why = job.state === 'dead' ? extras?.errors?.at(-1)?.message : extras?.reason
    const value = job.state === 'completed' ? job.result : why
    this.#parts.settlements.tell(id, job.state, job.attempts, value, data.by)
    this.#parts.local.over(job, id, ran)
  }

  endedElsewhere(job: JobRecord, id: string): void {
    // Whoever ended it may not have known that it waits for the lock of its batch.
    this.leftBatch(job, job.state === 'dead' && job.batch?.onFailure === 'stop')
    this.#parts.local.over(job, id)
  }

  leftBatch(job: JobRecord, stop: boolean): void {
    const { local, retries, store } = this.#parts
    const line = local.lineOf(job)
    const id = local.idOf(job)
    if (line !== undefined) retries.see(() => store.leave(line, queueOfJob(job), id, stop))
  }

  async revive(job: JobRecord): Promise<void> {
    if (job.state !== 'dead') return
    const { asking } = this.#parts
    const written = this.#startOver(job)
    // It is tried until it is so; whoever waits for that is told when it takes too long.
    await asking.ask(() => written)
  }

  /** Resolves once the store has it. */
  #startOver(job: JobRecord): Promise<void> {
    const { local, retries, store } = this.#parts
    job.state = 'available'
    job.failures = 0
    job.crashes = 0
    if (local.takeEnded(job)) {
      // The store never had it. Its time of waiting is over, and counts no more.
      job.more.queueTimeout = Number.POSITIVE_INFINITY
      local.accept(job)
      this.#admit(job)
      return this.stored(job)
    }
    const id = local.idOf(job)
    const revived = retries.retry(() => store.directory.revive(id, this.#engine.idPrefix))
    if (isStranger(job.entry)) {
      // It waits in the store for a process that has its task, and nothing here waits for it.
      this.#engine.freed(job.bytes)
      this.#engine.pendingChanged(-1)
      local.expectRevival(revived)
    } else local.revive(job, revived)
    return revived
  }

  // ── Questions ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Only what this process has itself; about all others the store is asked. */
  get(seq: number): JobRecord | undefined {
    const { local } = this.#parts
    const id = this.#engine.idPrefix + seq.toString(36)
    const job = local.byId.get(id)
    return job === undefined || local.isAway(job) ? local.endedHere.get(id) : job
  }

  find(id: string): Promise<JobRecord | undefined> {
    return this.#queries.find(id)
  }

  list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.#queries.list(filter)
  }

  search(search: JobSearch): Promise<Found> {
    return this.#queries.search(search)
  }

  tally(): Promise<readonly TaskTally[]> {
    return this.#queries.tally()
  }

  history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    return this.#queries.history(job)
  }

  logs(job: JobRecord): Promise<KeptLog> {
    return this.#queries.logs(job)
  }

  counts(): Promise<Record<JobState, number>> {
    return this.#queries.counts()
  }

  /** The store keeps dead jobs, and is asked when one is revived. */
  isKept(): boolean {
    return true
  }

  remove(job: JobRecord): Promise<boolean> {
    const { local, store, asking } = this.#parts
    const id = local.idOf(job)
    return asking.ask(async () => {
      await this.#written()
      return local.endedHere.delete(id) || store.directory.remove(id)
    })
  }

  get schedules(): ClusterSchedules {
    return this.#parts.schedules
  }

  /** What no thread asks for is put back by itself. */
  paused(): void {}

  stats(): BrokerStats {
    const { availability, consumer } = this.#parts
    return { ...availability.stats(), fenced: consumer.refused }
  }

  /** What is on its way to the store is answered for by the store, once it is there. */
  async #written(): Promise<void> {
    if (!this.#isClosing) await this.#opening
    const { availability, producer, local } = this.#parts
    if (availability.isUp) await producer.settle(LAST_WRITES)
    await local.revived()
  }

  // ── The store ──────────────────────────────────────────────────────────────────────────────────────────────────

  onTimeout(fault: StoreFault): void {
    this.#parts.availability.down('silence', fault)
  }

  /** The store answers again. */
  onRecovered(): void {
    this.#parts.availability.up('silence')
    this.#goOn()
  }

  onRefused(fault: StoreFault): void {
    this.#parts.availability.down('writes', fault)
  }

  onAccepted(): void {
    this.#parts.availability.up('writes')
    this.#goOn()
  }

  onWritable(): void {
    const { consumer, retries } = this.#parts
    void consumer.leases.renew()
    retries.retryNow()
  }

  /** The store can be reached, again or still. */
  #connected(): void {
    const { availability, health } = this.#parts
    availability.up('connection')
    health.back()
    this.#goOn()
  }

  /** What has waited goes on. */
  #goOn(): void {
    const { consumer, retries, settlements, schedules, time } = this.#parts
    if (!this.#hasBegun) return retries.retryNow()
    // Another server may have taken over.
    void time.learn(this.#store)
    // First whose the jobs are, then what became of them: others wait for it.
    void consumer.leases.renew()
    retries.retryNow()
    // Messages that were sent in the meantime have not come.
    void settlements.look()
    schedules.look()
  }

  #onMessage(topic: string, text: string): void {
    const { settlements, schedules, consumer } = this.#parts
    try {
      if (topic.endsWith(SCHEDULES_TOPIC)) schedules.heard(text)
      else if (topic.endsWith(ASIDE_TOPIC)) consumer.heardOfAside(text)
      else if (topic.endsWith(CANCEL_TOPIC)) this.#cancelHere(text)
      else settlements.onMessage(text)
    } catch {
      // Anybody who reaches the store can send on a topic: what cannot be read says nothing.
    }
  }

  /** Another process asks to cancel a job, which this one may have. */
  #cancelHere(text: string): void {
    const { id, reason } = JSON.parse(text) as { id: string; reason?: string }
    const { consumer } = this.#parts
    const lease = consumer.leases.byId.get(id)
    // Of one whose outcome is being written, the request is made again.
    if (lease === undefined || lease.isEnding || isTerminal(lease.job.state)) return
    const { name } = lease.job.entry.task
    if (lease.job.state === 'running') this.#engine.cancel(lease.job, reason)
    else consumer.finish(lease, { state: 'cancelled', error: new TaskCancelledError(name, reason) })
  }

  async close(most = LAST_WRITES): Promise<void> {
    this.#isClosing = true
    const { local, consumer, availability, health, producer, retries } = this.#parts
    const { settlements, remote, schedules, progress, time } = this.#parts
    // Their responses will never be over here: they run wherever the others run, and their delays count from now.
    const { clock } = this.#engine
    const now = clock.now()
    for (const job of [...local.byId.values()]) {
      const { delay, calledAt = now } = job.extras ?? {}
      if (job.state === 'held' && delay !== undefined) job.more.dueAt = calledAt + delay
      this.release(job)
    }
    const until = clock.now() + Math.min(most, LAST_WRITES)
    const left = (): number => Math.max(0, until - clock.now())
    const patience = (): number => (availability.isUp ? left() * FOR_WRITES : 0)
    // What is being fetched comes with an answer, which a store that is away does not give.
    await within(clock, patience(), consumer.stop())
    if (availability.isUp) await producer.settle(patience())
    // A run of a schedule that is being added is made, or another process finds it free.
    if (availability.isUp) await within(clock, patience(), schedules.settle())
    await retries.settle(patience())
    const parts = [health, producer, settlements, remote, local, schedules, progress, time, consumer.leases]
    for (const part of parts) part.close()
    local.loseWhatIsNotStored()
    await this.#store.close(Math.max(left(), LEAST_CLOSE))
    // Whoever waits for `ready()` hears of what was wrong.
    await this.#opening.catch(() => {})
  }
}
