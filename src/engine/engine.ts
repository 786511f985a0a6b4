/**
 * The engine: wires broker, pools, scheduler, watch and outcomes together and holds what they share. `runtime` is its
 * public face.
 */
import type { Broker, BrokerHost, JobFilter } from '../brokers/broker.ts'
import type { Lane, LaneExit, LogLevel, NestedJob, Pool, PoolHost } from '../pools/pool.ts'
import { decode, type Encoded } from '../rules/codec.ts'
import type { JobRecord, Moved } from '../rules/job-record.ts'
import type { ReadRuntimeOptions } from '../rules/option-schemas.ts'
import { Registry, type TaskEntry } from '../rules/registry.ts'
import { retryPolicy } from '../rules/retry.ts'
import type { AnyTask } from '../rules/task.ts'
import { toWireError, type WireError } from '../rules/wire-error.ts'
import { OptionsInvalidError, TaskCancelledError } from '../words/errors.ts'
import { isTerminal, type JobOptions, type JobState } from '../words/job.ts'
import { Announcer } from './announcer.ts'
import type { Batch, BatchOwner } from './batch.ts'
import { JobIds } from './ids.ts'
import { Intake } from './intake.ts'
import { Job, type JobOwner } from './job.ts'
import { KeepAlive } from './keep-alive.ts'
import { Lifecycle, type LifecycleHost, type StopReport } from './lifecycle.ts'
import { type OutcomeHost, Outcomes } from './outcomes.ts'
import type { Ports } from './ports.ts'
import { QueueTimeouts } from './queue-timeouts.ts'
import { Rate } from './rate.ts'
import { RunTimes } from './run-times.ts'
import { Scheduler } from './scheduler.ts'
import { Watch, type WatchHost } from './watch.ts'

/** The engine of one runtime. */
export class Engine
  implements BrokerHost, PoolHost, WatchHost, OutcomeHost, JobOwner, BatchOwner, LifecycleHost
{
  readonly options: ReadRuntimeOptions
  readonly registry: Registry
  readonly broker: Broker
  readonly clock: Ports['clock']
  readonly ids: JobIds
  readonly pools = new Map<string, Pool>()
  readonly announcer: Announcer
  readonly scheduler: Scheduler
  readonly lifecycle: Lifecycle
  readonly intake: Intake
  /** Resolves when the broker can be used. */
  readonly opened: Promise<void>
  readonly rate: Rate
  /** Jobs that ended in each way since the start. */
  readonly ended = { completed: 0, cancelled: 0, skipped: 0, dead: 0, lost: 0 }
  readonly #watch: Watch
  readonly #outcomes: Outcomes
  readonly #queueTimeouts: QueueTimeouts
  readonly #keepAlive: KeepAlive
  #ran = 0
  #endedAtStop = { completed: 0, dead: 0 }

  constructor(options: ReadRuntimeOptions, broker: Broker, ports: Ports, writeLine: (line: string) => void) {
    const { clock, random } = ports
    this.options = options
    this.clock = clock
    this.broker = broker
    this.registry = new Registry(Object.values(options.tasks) as AnyTask[])
    this.ids = new JobIds(clock.wall(), random)
    this.rate = new Rate(clock.now())
    this.announcer = new Announcer((job) => this.idOf(job), writeLine)
    this.lifecycle = new Lifecycle(this)
    this.#keepAlive = new KeepAlive()
    const runTimes = new RunTimes(this.registry.entries.length)
    this.#watch = new Watch(clock, this)
    this.scheduler = new Scheduler(broker, this.pools, clock, options.bundles, runTimes, this.#watch)
    const retry = options.retry && retryPolicy(options.retry)
    this.#outcomes = new Outcomes({ broker, clock, random, retry, runTimes }, this)
    this.#queueTimeouts = new QueueTimeouts(clock, (job, error) =>
      broker.finish(job, { state: 'dead', error }),
    )
    this.intake = new Intake({
      registry: this.registry,
      broker,
      clock,
      lifecycle: this.lifecycle,
      announcer: this.announcer,
      rate: this.rate,
      queueTimeouts: this.#queueTimeouts,
      maxPending: options.maxPending,
      busy: () => this.#keepAlive.hold(),
      cancel: (job, reason) => void this.cancel(job, reason),
    })
    this.#makePools(ports)
    this.opened = broker.open(this) ?? Promise.resolve()
    // Whoever asks `ready()` hears of it; nobody has to ask.
    this.opened.catch(() => {})
    for (const pool of this.pools.values()) pool.start(this)
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

  release(job: JobRecord): void {
    const { extras } = job
    if (extras?.delay !== undefined) extras.dueAt = this.clock.now() + extras.delay
    this.broker.release(job)
  }

  skip(job: JobRecord, reason: string): void {
    this.broker.finish(job, { state: 'skipped', reason })
  }

  // ── What the broker tells ──────────────────────────────────────────────────────────────────────────────────────

  wake(pool: string): void {
    this.scheduler.wake(pool)
  }

  adopted(jobs: number): void {
    const { intake } = this
    const before = intake.pending
    intake.pending += jobs
    if (before === 0 && intake.pending > 0) this.#keepAlive.hold()
    else if (intake.pending === 0 && this.lifecycle.phase === 'running') this.#keepAlive.letGo()
  }

  settled(job: JobRecord): void {
    const ran = this.#ran
    this.#ran = 0
    this.rate.add(job.readyAt)
    this.ended[job.extras?.reason === 'lost' ? 'lost' : (job.state as 'completed')]++
    job.extras?.forgetSignal?.()
    if (--this.intake.pending === 0 && this.lifecycle.phase === 'running') this.#keepAlive.letGo()
    this.announcer.settled(job, ran)
    if (this.lifecycle.phase !== 'running') this.lifecycle.look()
  }

  // ── What the pools tell ────────────────────────────────────────────────────────────────────────────────────────

  laneFree(pool: Pool, lane: Lane): void {
    this.scheduler.laneFree(pool, lane)
  }

  spent(milliseconds: number): void {
    this.scheduler.spent(milliseconds)
  }

  completed(job: JobRecord, result: Encoded | Moved, started: number, ended: number): void {
    this.announcer.started(job, started)
    this.#ran = ended - started
    this.#outcomes.completed(job, result, started, ended)
  }

  failed(job: JobRecord, error: WireError, started: number, ended: number): void {
    this.announcer.started(job, started)
    this.#ran = ended - started
    this.#outcomes.failed(job, error, started, ended)
    // An attempt that a stop has ended is no job that is over, but it may be the last thing that ran.
    if (this.lifecycle.phase !== 'running') this.lifecycle.look()
  }

  started(job: JobRecord): void {
    this.announcer.started(job, this.clock.now())
  }

  revoked(job: JobRecord): void {
    this.#outcomes.notStarted(job)
  }

  takenBack(job: JobRecord): void {
    this.#outcomes.notStarted(job)
  }

  deaf(lane: Lane): void {
    const pool = [...this.pools.values()].find(({ lanes }) => lanes.has(lane))
    if (pool === undefined) return
    const message =
      'The thread does not answer: something that a handler left behind keeps it busy. It is replaced.'
    this.announcer.stray(pool, lane.id, '', toWireError(new Error(message)))
  }

  progress(job: JobRecord, value: Encoded): void {
    job.more.progress = decode(value)
    this.announcer.started(job, this.clock.now())
    this.announcer.progress(job)
  }

  log(job: JobRecord, level: LogLevel, message: string, data: Encoded): void {
    this.announcer.started(job, this.clock.now())
    this.announcer.log(job, level, message, data)
  }

  enqueue(
    by: JobRecord,
    request: NestedJob,
    answer: (id: string | null, error: WireError | null) => void,
  ): void {
    try {
      const options = decode(request.options) as JobOptions | undefined
      const record = this.intake.take({
        door: 'handler',
        task: request.task,
        payload: decode(request.payload),
        options,
        batch: null,
      })
      const context = by.extras?.context
      if (context !== undefined) record.more.context ??= context
      const id = this.idOf(record)
      const stored = this.broker.stored?.(record)
      if (stored === undefined) return answer(id, null)
      stored.then(
        () => answer(id, null),
        (error: unknown) => answer(null, toWireError(error)),
      )
    } catch (error) {
      answer(null, toWireError(error))
    }
  }

  stray(pool: Pool, lane: Lane, id: string, error: WireError): void {
    this.announcer.stray(pool, lane.id, id, error)
  }

  threadStarted(pool: Pool, lane: Lane): void {
    this.announcer.threadStarted(pool, lane.id)
  }

  exited(pool: Pool, exit: LaneExit): void {
    this.#watch.forget(exit.lane)
    for (const job of exit.running) this.announcer.started(job, this.clock.now())
    this.announcer.threadExited(pool, exit)
    this.#outcomes.threadExited(exit)
    if (this.lifecycle.phase !== 'running') this.lifecycle.look()
  }

  // ── What watch and outcomes ask ────────────────────────────────────────────────────────────────────────────────

  timeoutOf(job: JobRecord): number {
    return job.extras?.timeout ?? job.entry.task.policy.timeout ?? this.options.timeout
  }

  killGraceOf(job: JobRecord): number {
    return job.entry.task.policy.killGrace ?? this.options.killGrace
  }

  retrying(job: JobRecord, error: Error, delay: number): void {
    this.announcer.retrying(job, error, delay)
  }

  interrupted(job: JobRecord, reason: string): void {
    this.announcer.interrupted(job, reason)
  }

  // ── What handles ask ───────────────────────────────────────────────────────────────────────────────────────────

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.ids.of(job.seq)
  }

  /** A job that was sent to a thread but has not started there is still available. */
  stateOf(job: JobRecord): JobState {
    if (job.state !== 'running') return job.state
    const lane = this.#laneOf(job)
    return lane !== undefined && lane.startedAt(job) === undefined ? 'available' : 'running'
  }

  wallTime(monotonic: number): number {
    return Math.round(this.clock.wall() - this.clock.now() + monotonic)
  }

  cancel(job: JobRecord, reason: unknown): boolean {
    if (isTerminal(job.state)) return false
    const lane = job.state === 'running' ? this.#laneOf(job) : undefined
    // Running but with no thread: its outcome is at hand and about to be told.
    if (job.state === 'running' && lane === undefined) return false
    if (lane !== undefined && !lane.revoke(job)) {
      lane.collect()
      if (isTerminal(job.state)) return false
      this.#watch.end(lane, job, 'cancel', reason, 'The job was cancelled.')
      return true
    }
    if (lane !== undefined) job.attempts--
    this.broker.finish(job, {
      state: 'cancelled',
      error: new TaskCancelledError(job.entry.task.name, reason),
    })
    if (lane !== undefined) this.scheduler.wake(job.entry.task.policy.pool)
    return true
  }

  /** The record of a job by its id. */
  async find(id: string): Promise<JobRecord | undefined> {
    const seq = this.ids.seqOf(id)
    const atHand = seq === undefined ? undefined : this.broker.get(seq)
    return atHand ?? this.broker.find?.(id)
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.broker.list(filter)
  }

  stored(job: JobRecord): Promise<void> {
    return this.broker.stored?.(job) ?? Promise.resolve()
  }

  keep(job: JobRecord): void {
    this.broker.keep?.(job)
  }

  revive(job: JobRecord): void {
    this.intake.again()
    this.broker.revive(job)
  }

  /** Tells the threads whether starts are to be told at once. */
  tellStarts(tell: boolean): void {
    for (const pool of this.pools.values()) pool.tellStarts(tell)
  }

  // ── The end ────────────────────────────────────────────────────────────────────────────────────────────────────

  stop(timeout: number): Promise<StopReport> {
    if (this.lifecycle.phase === 'running') {
      // A stop under way keeps the process alive: its report is awaited.
      this.#keepAlive.hold()
      const { completed, dead } = this.ended
      this.#endedAtStop = { completed, dead }
      // What a durable broker holds can wait for the next start; what memory holds cannot.
      if (this.broker.durable) this.scheduler.pause()
      this.announcer.events.emit('runtime:stopping', { pending: this.intake.pending })
    }
    return this.lifecycle.stop(timeout)
  }

  isDrained(deadline: number): boolean {
    if (this.broker.durable) return !this.hasRunning()
    if (this.intake.pending === 0) return true
    const counts = this.broker.counts()
    if (counts instanceof Promise) return false
    const { held, available, running } = counts
    return held + available + running === 0 && this.broker.nextDue() > deadline
  }

  hasRunning(): boolean {
    return [...this.pools.values()].some((pool) => [...pool.lanes].some((lane) => lane.inFlight.size > 0))
  }

  killGrace(): number {
    return this.options.killGrace
  }

  abortRunning(): void {
    this.scheduler.pause()
    for (const lane of this.#lanes()) {
      for (const job of [...lane.inFlight.keys()]) {
        if (lane.revoke(job)) this.#outcomes.notStarted(job)
        else this.#watch.end(lane, job, 'stop', undefined, 'The runtime is stopping.')
      }
    }
  }

  async finish(): Promise<StopReport> {
    this.scheduler.pause()
    await Promise.all([...this.pools.values()].map((pool) => pool.stop()))
    this.#watch.close()
    this.#queueTimeouts.close()
    const limit = this.broker.durable ? MOST_NAMED : Number.POSITIVE_INFINITY
    const unfinished = await this.#unfinished(limit)
    const named = unfinished.map((job) => ({ id: this.idOf(job), name: job.entry.task.name })).reverse()
    if (!this.broker.durable) {
      for (const job of unfinished) this.broker.finish(job, { state: 'cancelled', reason: 'lost' })
    }
    await this.broker.close()
    this.#keepAlive.close()
    const { completed, dead } = this.#endedAtStop
    const report: StopReport = {
      completed: this.ended.completed - completed,
      failed: this.ended.dead - dead,
      lost: this.broker.durable ? [] : named,
      left: this.broker.durable ? named : [],
    }
    const { lost, left } = report
    this.announcer.events.emit('runtime:stopped', { ...report, lost: lost.length, left: left.length })
    return report
  }

  /** Also where the broker cannot be asked any more, the threads have to end. */
  async #unfinished(limit: number): Promise<readonly JobRecord[]> {
    try {
      return await this.broker.list({ state: UNFINISHED, limit })
    } catch (error) {
      if (this.broker.durable) return []
      throw error
    }
  }

  *#lanes(): Iterable<Lane> {
    for (const pool of this.pools.values()) yield* pool.lanes
  }

  #laneOf(job: JobRecord): Lane | undefined {
    for (const lane of this.#lanes()) if (lane.inFlight.has(job)) return lane
    return undefined
  }

  #makePools({ makePool, clock }: Ports): void {
    const settings = { default: this.options.pool, ...this.options.pools }
    for (const { task } of this.registry.entries) {
      if (Object.hasOwn(settings, task.policy.pool)) continue
      const known = Object.keys(settings).join(', ')
      throw new OptionsInvalidError(
        `Task "${task.name}" asks for pool "${task.policy.pool}", which is not there. Known: ${known}. Add it to createRuntime({ pools }).`,
        'pools',
      )
    }
    for (const [name, options] of Object.entries(settings)) {
      const handlers = this.registry.entries.map(({ task }) =>
        task.policy.pool === name ? { task: task.name, ...task.handler } : null,
      )
      // A pool without tasks would be threads for nothing.
      if (handlers.every((handler) => handler === null)) continue
      this.pools.set(name, makePool({ name, options, handlers, idPrefix: this.ids.prefix, clock }))
    }
  }
}

// A durable broker may have millions left; a report is read by a person.
const MOST_NAMED = 1000
const UNFINISHED: readonly JobState[] = ['held', 'waiting', 'scheduled', 'available', 'running', 'retryable']
