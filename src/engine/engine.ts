/**
 * The engine: wires broker, pools, scheduler, watch and outcomes together and answers what they ask of each other.
 * `runtime` is its public face.
 */
// long because: it is where everything meets, one short method for each question that a part has of another
import type { Broker, JobFilter } from '../brokers/port/broker.ts'
import type { BrokerHost } from '../brokers/port/host.ts'
import type { Lane } from '../pools/pool.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Registry, type TaskEntry } from '../rules/registry.ts'
import { retryPolicy } from '../rules/retry.ts'
import { IO_POOL, poolOptionsSchema, type ReadRuntimeOptions } from '../rules/runtime-schemas.ts'
import type { AnyTask } from '../rules/task.ts'
import { toWireError } from '../rules/wire-error.ts'
import { ClockOffset } from '../words/clock-offset.ts'
import { LeaseLostError, OptionsInvalidError, TaskCancelledError } from '../words/errors.ts'
import { isTerminal, type JobOptions, type JobState, type Settlement } from '../words/job.ts'
import { Announcer } from './announcer.ts'
import type { Batch, BatchOwner } from './batch.ts'
import { CrashHolds } from './crash-holds.ts'
import { Ending } from './ending.ts'
import { JobIds } from './ids.ts'
import { Intake, REPLACED } from './intake.ts'
import { Job, type JobOwner, keptEndOf, settlementOf } from './job.ts'
import { KeepAlive } from './keep-alive.ts'
import { letGo } from './let-go.ts'
import { Lifecycle, type StopReport } from './lifecycle.ts'
import type { Log } from './log.ts'
import { type OutcomeHost, Outcomes } from './outcomes.ts'
import { PoolSet } from './pool-set.ts'
import type { Ports } from './ports.ts'
import { Rate } from './rate.ts'
import { RunTimes } from './run-times.ts'
import { Scheduler } from './scheduler.ts'
import { Schedules } from './schedules.ts'
import { SharedJobs, type SharedJobsOwner } from './shared-jobs.ts'
import { ThreadReports } from './thread-reports.ts'
import { WaitingHint } from './waiting-hint.ts'
import { Watch, type WatchHost } from './watch.ts'

/** The engine of one runtime. */
export class Engine implements BrokerHost, WatchHost, OutcomeHost, JobOwner, BatchOwner, SharedJobsOwner {
  readonly options: ReadRuntimeOptions
  readonly registry: Registry
  readonly broker: Broker
  readonly clock: Ports['clock']
  readonly ids: JobIds
  readonly pools: PoolSet
  readonly announcer: Announcer
  readonly scheduler: Scheduler
  readonly schedules: Schedules
  readonly lifecycle: Lifecycle
  readonly intake: Intake
  readonly holds: CrashHolds
  /** Resolves when the broker can be used. */
  readonly opened: Promise<void>
  readonly rate: Rate
  /** Jobs that ended in each way since the start. */
  readonly ended = { completed: 0, cancelled: 0, skipped: 0, dead: 0, lost: 0 }
  readonly #watch: Watch
  readonly #outcomes: Outcomes
  readonly #offset: ClockOffset
  readonly #keepAlive: KeepAlive
  readonly #ending: Ending
  readonly #shared: SharedJobs

  /** Tells whoever runs the server a line. */
  readonly warn: (line: string) => void

  constructor(options: ReadRuntimeOptions, broker: Broker, ports: Ports, log: Log) {
    const { clock, random } = ports
    // An `io` pool is there for whoever asks for one, unless the user has made it otherwise.
    this.options = { ...options, pools: { io: poolOptionsSchema.parse(IO_POOL), ...options.pools } }
    this.clock = clock
    this.#offset = new ClockOffset(clock)
    this.broker = broker
    this.registry = new Registry(Object.values(options.tasks) as AnyTask[])
    this.ids = new JobIds(clock.wall(), random)
    this.rate = new Rate(clock.now())
    const idOf = this.idOf.bind(this)
    const announcer = new Announcer(idOf, log)
    this.warn = (line) => log.say(line)
    const keepAlive = new KeepAlive()
    const lifecycle = new Lifecycle()
    const settings = { default: options.pool, ...this.options.pools }
    const pools = new PoolSet(settings, this.registry.entries, this.ids.prefix, ports, broker, (line) =>
      log.say(line),
    )
    const runTimes = new RunTimes(this.registry.entries.length)
    const watch = new Watch(clock, this)
    const wake = (pool: string): void => this.scheduler.wake(pool)
    const holds = new CrashHolds({ ready: broker.ready, clock, pools: pools.byName, wake })
    const hint = new WaitingHint({ ready: broker.ready, clock, say: (line) => log.say(line) })
    const hasLimits = this.registry.entries.some(({ task }) => Number.isFinite(task.policy.concurrency))
    const scheduler = new Scheduler({
      ...{ ready: broker.ready, clock, hint, holds, runTimes, watch },
      ...{ hasLimits, limits: options.bundles, pools: pools.byName },
    })
    const retry = options.retry && retryPolicy(options.retry)
    const outcomes = new Outcomes({ sink: broker.attempts, clock, random, retry, runTimes, holds }, this)
    const { ended, rate, registry } = this
    const { killGrace, maxPending } = options
    const busy = (): void => keepAlive.hold()
    const shared = new SharedJobs(this)
    const intake = new Intake({
      ...{ announcer, broker: broker.intake, busy, clock, lifecycle, maxPending, rate, registry, shared },
      announcing: (announce) => scheduler.announcing(announce),
      cancel: (record, reason) => void this.cancel(record, reason),
    })
    this.#ending = new Ending({
      ...{ announcer, broker, clock, ended, holds, idOf, intake, keepAlive, killGrace, outcomes, pools },
      ...{ scheduler, watch },
    })
    lifecycle.attach(this.#ending)
    const reports = new ThreadReports({
      ...{
        announcer,
        attempts: broker.attempts,
        durability: broker.durability,
        clock,
        entries: registry.entries,
        idOf,
        intake,
        lifecycle,
        outcomes,
        scheduler,
        watch,
      },
    })
    this.announcer = announcer
    this.intake = intake
    this.lifecycle = lifecycle
    this.pools = pools
    this.holds = holds
    this.scheduler = scheduler
    this.#keepAlive = keepAlive
    this.#shared = shared
    this.#outcomes = outcomes
    this.#watch = watch
    this.opened = opened(broker, this)
    // Whoever asks `ready()` hears of it; nobody has to ask.
    this.opened.catch(() => {})
    this.schedules = new Schedules(
      {
        registry: this.registry,
        store: broker.schedules,
        clock,
        enqueue: (task, payload, how) => {
          const record = intake.take({ door: 'call', task, payload, options: how, batch: null })
          return () => this.stored(record)
        },
        isRunning: () => lifecycle.phase === 'running',
        say: (message) => log.say(message),
      },
      this.opened,
    )
    pools.start(reports)
  }

  get ageing(): number {
    return this.options.priorityAgeing
  }

  get retention(): { readonly count: number; readonly age: number } {
    return this.options.retention
  }

  get entries(): readonly TaskEntry[] {
    return this.registry.entries
  }

  get idPrefix(): string {
    return this.ids.prefix
  }

  /** A batch adds a job. */
  accept(task: string | AnyTask, payload: unknown, options: JobOptions | undefined, batch: Batch): Job {
    return new Job(this.intake.take({ door: 'request', task, payload, options, batch }), this)
  }

  // ── Batches ────────────────────────────────────────────────────────────────────────────────────────────────────

  release(job: JobRecord, since: number): void {
    const { extras } = job
    if (extras !== null) {
      extras.calledAt = undefined
      if (extras.delay !== undefined) extras.dueAt = since + extras.delay
      if (extras.takesKey !== undefined) this.#takeKey(job, extras.takesKey)
    }
    this.broker.intake.release(job)
  }

  /** The response of a job that replaces is over: what holds its unique key and has not started makes way. */
  #takeKey(job: JobRecord, uniqueKey: string): void {
    if (isTerminal(job.state)) return
    const { more } = job
    const holder = this.broker.intake.holderOf(uniqueKey)
    if (holder !== undefined) this.cancel(holder, REPLACED)
    more.uniqueKey = uniqueKey
    more.takesKey = undefined
    this.broker.intake.takeKey(job)
  }

  detach(job: JobRecord): void {
    this.broker.intake.detach(job)
  }

  now(): number {
    return this.clock.now()
  }

  mayBeRevived(job: JobRecord): boolean {
    // One whose death is yet to be written is not there yet.
    if (job.state !== 'dead' || job.extras?.isUntold === true) return false
    return this.broker.jobs.isKept(job)
  }

  skip(job: JobRecord, reason: string): void {
    this.broker.attempts.finish(job, { state: 'skipped', reason })
  }

  afterGrace(callback: () => void): () => void {
    return this.clock.timer(this.options.handlerGrace, callback)
  }

  // ── What the broker tells ──────────────────────────────────────────────────────────────────────────────────────

  wake(pool: string): void {
    this.scheduler.wake(pool)
  }

  slots(pool: string): number {
    return this.pools.slots(pool)
  }

  leaseLost(job: JobRecord): void {
    const lane = this.pools.laneOf(job)
    if (lane === undefined) return
    const error = new LeaseLostError(job.entry.task.name)
    if (lane.revoke(job)) this.#outcomes.notStarted(job)
    else this.#watch.end(lane, job, 'lease', error, error.message)
  }

  fenced(job: JobRecord, state: JobState): void {
    this.announcer.fenced(job, state, new LeaseLostError(job.entry.task.name))
  }

  connectionChanged(fault: Error | undefined, downFor: number): void {
    this.announcer.reached(fault, downFor)
  }

  pendingChanged(jobs: number): void {
    const { intake } = this
    const before = intake.pending
    intake.pending += jobs
    if (before === 0 && intake.pending > 0) this.#keepAlive.hold()
    else if (intake.pending === 0 && this.lifecycle.phase === 'running') this.#keepAlive.letGo()
  }

  settled(job: JobRecord, ran: number): void {
    this.rate.add(job.readyAt)
    this.ended[job.extras?.reason === 'lost' ? 'lost' : (job.state as 'completed')]++
    const { extras, batch } = job
    if (extras !== null) this.#shared.over(job, extras)
    if (--this.intake.pending === 0 && this.lifecycle.phase === 'running') this.#keepAlive.letGo()
    this.announcer.settled(job, ran)
    if (batch !== null || extras !== null) letGo(job)
    if (this.lifecycle.phase !== 'running') this.lifecycle.look()
  }

  // ── What watch and outcomes ask ────────────────────────────────────────────────────────────────────────────────

  timeoutOf(job: JobRecord): number {
    return job.extras?.timeout ?? job.entry.task.policy.timeout ?? this.options.timeout
  }

  killGraceOf(job: JobRecord): number {
    return job.entry.task.policy.killGrace ?? this.options.killGrace
  }

  takenBack(job: JobRecord): void {
    this.#outcomes.notStarted(job)
  }

  deaf(lane: Lane): void {
    const pool = this.pools.poolOf(lane)
    const error = new Error(
      'The thread does not answer: what a handler left behind keeps it busy. It is replaced.',
    )
    if (pool !== undefined) this.announcer.stray(pool, lane.id, '', toWireError(error), [])
  }

  retrying(job: JobRecord, error: Error, delay: number): void {
    this.announcer.retrying(job, error, delay)
  }

  interrupted(job: JobRecord, reason: string, error: Error | undefined): void {
    this.announcer.interrupted(job, reason, error)
  }

  // ── What handles ask ───────────────────────────────────────────────────────────────────────────────────────────

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.ids.of(job.seq)
  }

  /** A job that was sent to a thread but has not started there is still available. */
  stateOf(given: JobRecord): JobState {
    const job = this.current(given)
    if (job.state === 'held' && job.extras?.calledAt !== undefined) return 'waiting'
    if (job.state !== 'running') return job.state
    const lane = this.pools.laneOf(job)
    return lane !== undefined && lane.startedAt(job) === undefined ? 'available' : 'running'
  }

  wallTime(monotonic: number): number {
    return Math.round(this.#offset.wall(monotonic))
  }

  cancel(given: JobRecord, reason: unknown): boolean {
    const job = this.current(given)
    if (isTerminal(job.state)) return false
    if (this.broker.cluster?.cancelRemote(job, reason) === true) return true
    const lane = job.state === 'running' ? this.pools.laneOf(job) : undefined
    if (job.state === 'running' && lane?.revoke(job) !== true) {
      lane?.drain()
      // Its outcome was at hand; what that has made of the job decides.
      if (lane !== undefined && !lane.inFlight.has(job)) return this.cancel(job, reason)
      // Without a thread its outcome is about to be told, and has the last word.
      this.#watch.end(lane, job, 'cancel', reason, 'The job was cancelled.')
      return true
    }
    if (lane !== undefined) job.attempts--
    this.broker.attempts.finish(job, {
      state: 'cancelled',
      error: new TaskCancelledError(job.entry.task.name, reason),
    })
    if (lane !== undefined) this.scheduler.wake(job.entry.task.policy.pool)
    return true
  }

  /** The record of a job by its id. */
  async find(id: string): Promise<JobRecord | undefined> {
    const seq = this.ids.seqOf(id)
    const atHand = seq === undefined ? undefined : this.broker.jobs.get(seq)
    return atHand ?? this.broker.jobs.find(id)
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.broker.jobs.list(filter)
  }

  stored(job: JobRecord): Promise<void> {
    return this.broker.durability?.stored(job) ?? Promise.resolve()
  }

  keep(job: JobRecord): void {
    this.broker.durability?.pin(job)
  }

  current(job: JobRecord): JobRecord {
    return this.broker.durability?.current(job) ?? job
  }

  async settlementOf(stub: JobRecord): Promise<Settlement> {
    const found = await this.find(this.idOf(stub)).catch(() => undefined)
    return settlementOf(found !== undefined && isTerminal(found.state) ? found : stub)
  }

  settledLate(job: JobRecord): void {
    job.extras?.settle?.resolve(keptEndOf(job))
    letGo(job)
  }

  /** Lets a dead job start over; false when it is not dead, is no longer unique, or the runtime stops. Throws QueueFullError. */
  revive(given: JobRecord): boolean {
    // Whoever found the job at the same time may have revived it already, under another record.
    const job = this.current(given)
    // Nor can one be that was forgotten since it was found.
    if (!this.mayBeRevived(job) || this.lifecycle.phase !== 'running') return false
    const uniqueKey = job.extras?.uniqueKey
    const holder = uniqueKey === undefined ? undefined : this.broker.intake.holderOf(uniqueKey)
    if (holder !== undefined && this.idOf(holder) !== this.idOf(job)) return false
    this.intake.makeRoom(1)
    this.intake.again()
    // Its promise told of the end that is now taken back.
    const { more } = job
    more.settle = undefined
    more.isRevived = true
    this.broker.jobs.revive(job)
    job.batch?.revived?.()
    return true
  }

  /** How many jobs of each task a stop by `deadline` waits for. */
  waitedFor(deadline: number): Map<string, number> {
    return this.#ending.waitedFor(deadline)
  }

  /** Begins to stop, or brings the deadline of a stop under way nearer. */
  stop(timeout: number): Promise<StopReport> {
    this.schedules.close()
    if (this.lifecycle.phase === 'running') this.#ending.begin()
    return this.lifecycle.stop(timeout)
  }
}

/** Brokers that have a runtime. */
const taken = new WeakSet<Broker>()

/** Opens a broker for its one runtime. */
function opened(broker: Broker, host: BrokerHost): Promise<void> {
  if (taken.has(broker)) {
    const message =
      'createRuntime: option "broker" is the broker of another runtime; expected one of its own, since a broker serves one runtime, once. Make another.'
    throw new OptionsInvalidError(message, 'broker')
  }
  taken.add(broker)
  return broker.open(host) ?? Promise.resolve()
}
