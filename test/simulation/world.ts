/** One simulated run: a runtime on virtual time and simulated threads, and the hands that operate it. */
import type { Broker } from '../../src/brokers/broker.ts'
import type { Batch } from '../../src/engine/batch.ts'
import { Job } from '../../src/engine/job.ts'
import type { StopReport } from '../../src/engine/lifecycle.ts'
import { engineOf, Runtime } from '../../src/engine/runtime.ts'
import type { PoolHost } from '../../src/pools/pool.ts'
import { decode, type Encoded } from '../../src/rules/codec.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import { QueueFullError, RuntimeStoppedError } from '../../src/words/errors.ts'
import type { JobOptions } from '../../src/words/job.ts'
import { Checks } from './checks.ts'
import { Model, type ModelBatch, type ModelJob } from './model.ts'
import type { Behaviour, Op, Plan, ReactsTo, Spec } from './plan.ts'
import { seeded } from './random.ts'
import { RESPONSES } from './responses.ts'
import { NESTED, SimPool } from './sim-pool.ts'
import { KILL_GRACE, taskRules, tasks } from './tasks.ts'
import { VirtualClock } from './virtual-clock.ts'

/** What is put to the test: a broker, and perhaps something between the pools and the engine. */
export interface Subject {
  readonly broker: () => Broker
  /** Stands between a pool and the engine: for faults that are seeded on purpose. */
  readonly host?: (host: PoolHost) => PoolHost
}

const MOST_EVENTS = 400_000
const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'ignores' }

interface Adding {
  batch?: ModelBatch
  controller?: AbortController | undefined
}

interface OpenBatch {
  readonly batch: Batch
  readonly model: ModelBatch
}

/** The world of one run. */
export class World {
  readonly clock = new VirtualClock()
  readonly model: Model
  readonly runtime: Runtime
  readonly #checks: Checks
  readonly #broker: Broker
  readonly #specs: readonly Spec[]
  readonly #options: Plan['world']
  readonly #pools = new Map<string, SimPool>()
  readonly #handles = new Map<ModelJob, Job>()
  readonly #batches: OpenBatch[] = []
  readonly #aborts = new Map<ModelJob, AbortController>()
  readonly #hasAdded = new Set<JobRecord>()
  readonly #reactions = new Map<ReactsTo, Op[]>()
  /** What is being added, until it is announced. */
  #adding: Adding = {}
  #report: StopReport | undefined
  #endedBeforeStop = { completed: 0, dead: 0 }
  #events = 0
  #isSettling = false

  constructor({ world, specs }: Plan, subject: Subject) {
    this.#specs = specs
    this.#options = world
    this.model = new Model(this.clock, world.ageing)
    this.#checks = new Checks(this.model)
    this.#broker = subject.broker()
    const random = seeded(world.seed)
    this.runtime = new Runtime(
      {
        tasks,
        broker: this.#broker,
        pool: { threads: world.threads },
        pools: {
          io: { threads: 1, concurrency: 4 },
          elastic: { min: world.seed % 2, max: 3, idleTimeout: 100, recycle: { jobs: 3 } },
          fresh: { threads: 2, isolation: 'job' },
        },
        maxPending: world.maxPending,
        killGrace: KILL_GRACE,
        priorityAgeing: world.ageing,
        retention: { count: world.retention, age: Number.POSITIVE_INFINITY },
        bundles: { force: world.force, milliseconds: 5 },
        log: false,
      },
      {
        clock: this.clock,
        random,
        makePool: (parts) => {
          const pool = new SimPool({
            parts,
            clock: this.clock,
            stillborn: world.stillborn,
            latency: () => latency(random()),
            witness: this.#checks,
            behaviourOf: (job) => this.#behaviourOf(job),
          })
          if (subject.host !== undefined) {
            const start = pool.start.bind(pool)
            pool.start = (host) => start(subject.host?.(host) ?? host)
          }
          this.#pools.set(parts.name, pool)
          return pool
        },
      },
    )
    this.#listen()
  }

  /** True while a stop waits for what only promises bring. */
  get isFinishing(): boolean {
    return this.model.phase === 'stopping' && this.#report === undefined && this.runtime.stats().phase === 'stopped'
  }

  get report(): StopReport | undefined {
    return this.#report
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    if (op.do === 'advance') await this.advance(op.ms)
    else this.#act(op)
    if (this.model.phase === 'stopping') await this.#promises()
    this.check()
  }

  check(): void {
    this.#checks.step(this.#observed())
  }

  /** Lets time pass. */
  async advance(ms: number): Promise<void> {
    const end = this.clock.now() + ms
    this.clock.turn()
    while (this.clock.next() <= end && this.model.violation === undefined) await this.#event()
    this.clock.moveTo(end)
    this.clock.turn()
    this.#checks.noIdling(this.#observed())
  }

  /** Lets events happen until `isOver`, at most for so many milliseconds. False when that did not come to pass. */
  async until(isOver: () => boolean, limit: number): Promise<boolean> {
    const end = this.clock.now() + limit
    this.clock.turn()
    for (;;) {
      if (this.model.phase === 'stopping') await this.#promises()
      if (isOver() || this.model.violation !== undefined) return true
      if (this.clock.next() > end) {
        for (let turn = 0; turn < 100 && this.isFinishing; turn++) await null
        return isOver()
      }
      await this.#event()
    }
  }

  async #event(): Promise<void> {
    this.clock.moveTo(this.clock.next())
    this.clock.step()
    if (++this.#events > MOST_EVENTS) this.model.violate(`nothing comes to rest: ${MOST_EVENTS} events`)
    if (this.model.phase === 'stopping') await this.#promises()
  }

  /** Lets promises do what they have to do at this moment. */
  async #promises(): Promise<void> {
    for (let turn = 0; turn < 16 && (turn < 2 || this.isFinishing); turn++) await null
    this.clock.turn()
  }

  #act(op: Op): void {
    switch (op.do) {
      case 'add':
        return this.#add(op.spec, op.try === true)
      case 'many':
        return this.#addMany(op.specs)
      case 'open':
        return this.#open(op.parallel, op.stops)
      case 'batch':
        return this.#addToBatch(op.batch, op.spec)
      case 'settle':
        return this.#settle(op.batch, op.end)
      case 'cancel':
        return this.#cancel(op.job, op.by)
      case 'revive':
        return this.#revive(op.job)
      case 'pause':
        if (op.pool === null) this.model.isPaused = true
        else this.model.paused.add(op.pool)
        return this.runtime.pause(op.pool ?? undefined)
      case 'resume':
        if (op.pool === null) {
          this.model.isPaused = false
          this.model.paused.clear()
        } else this.model.paused.delete(op.pool)
        return this.runtime.resume(op.pool ?? undefined)
      case 'wall':
        return this.clock.jump(op.ms)
      case 'thread dies':
        return this.#killThread(op.lane)
      case 'stop':
        return this.#stop(op.timeout)
      case 'react':
        this.#reactions.set(op.on, [...(this.#reactions.get(op.on) ?? []), op.then])
    }
  }

  #optionsOf(spec: Spec): JobOptions {
    const { delay, runAt, priority, key, unique, uniqueFor, timeout, queueTimeout, maxAttempts, when } = spec
    return {
      ...(delay === undefined ? {} : { delay }),
      ...(runAt === undefined || delay !== undefined ? {} : { runAt: this.clock.wall() + runAt }),
      ...(priority === undefined ? {} : { priority }),
      ...(key === undefined ? {} : { key }),
      ...(unique === undefined
        ? {}
        : { unique: uniqueFor === undefined ? unique : { key: unique, for: uniqueFor } }),
      ...(timeout === undefined ? {} : { timeout }),
      ...(queueTimeout === undefined ? {} : { queueTimeout }),
      ...(maxAttempts === undefined ? {} : { maxAttempts }),
      ...(when === undefined ? {} : { when }),
      ...(spec.parallel === undefined ? {} : { order: spec.parallel ? 'parallel' : 'sequential' }),
    }
  }

  #add(number: number, isTry: boolean): void {
    const spec = this.#spec(number)
    const name = nameOf(spec)
    const controller = spec.signal === true ? new AbortController() : undefined
    const options = { ...this.#optionsOf(spec), ...(controller ? { signal: controller.signal } : {}) }
    this.#taking('call', { isTry, controller }, () => {
      const job = isTry
        ? this.runtime.tryEnqueue(name, number, options)
        : this.runtime.enqueue(name, number, options)
      if (job !== null) this.#has(job)
      return job !== null
    })
  }

  #addMany(numbers: readonly number[]): void {
    const entries = numbers.map((number) => {
      const spec = this.#spec(number)
      return { task: nameOf(spec), payload: number, options: this.#optionsOf(spec) }
    })
    this.#taking('call', { jobs: entries.length }, () => {
      for (const job of this.runtime.enqueueMany(entries)) this.#has(job)
      return true
    })
  }

  #open(parallel: boolean, stops: boolean): void {
    const batch = this.runtime.openBatch({
      order: parallel ? 'parallel' : 'sequential',
      onFailure: stops ? 'stop' : 'continue' })
    this.#batches.push({ batch, model: { stops, isParallel: parallel, jobs: [], chain: [], end: undefined } })
  }

  #addToBatch(which: number, number: number): void {
    if (this.#batches.length === 0) this.#open(false, false)
    const { batch, model } = this.#batches[which % this.#batches.length] as OpenBatch
    const spec = this.#spec(number)
    this.#taking('request', { batch: model }, () => {
      this.#has(batch.add(nameOf(spec), number, this.#optionsOf(spec)))
      return true
    })
  }

  #settle(which: number, end: keyof typeof RESPONSES): void {
    const open = this.#batches.filter(({ model }) => model.end === undefined)
    const found = open[which % open.length]
    if (found === undefined) return
    this.model.settles(found.model, end)
    this.#isSettling = true
    found.batch.settle(RESPONSES[end].facts)
    this.#isSettling = false
    for (const job of found.model.jobs) {
      const isWanted = job.over !== undefined || this.model.isWanted(job)
      this.model.expect(isWanted, () => `${job.id} is still there although its response does not call for it`)
    }
  }

  /** Adds jobs, and holds what is refused against what should be. */
  #taking(door: 'call' | 'request', how: Adding & { jobs?: number; isTry?: boolean }, take: () => boolean): void {
    const { model } = this
    const { jobs = 1, isTry = false, ...adding } = how
    const before = this.#adding
    this.#adding = adding
    const isClosed = model.phase !== 'running' && (door === 'call' || this.runtime.stats().phase === 'stopped')
    // In a listener, jobs may be in that have not been announced yet.
    const isFull = this.runtime.stats().pending + jobs > this.#options.maxPending
    try {
      const isTaken = take()
      model.expect(!isClosed, () => 'a job was accepted by a runtime that has stopped')
      model.expect(isTaken === !isFull, () => (isFull ? 'a full queue took a job' : 'tryEnqueue refused a job for nothing'))
    } catch (error) {
      if (error instanceof RuntimeStoppedError) model.expect(isClosed, () => 'a running runtime refused a job')
      else if (error instanceof QueueFullError) {
        model.expect(isFull && !isTry, () => 'a queue with room refused a job')
        model.expect(error.retryAfter >= 1 && error.retryAfter <= 300, () => `retryAfter is ${error.retryAfter}`)
      } else throw error
    } finally {
      this.#adding = before
    }
  }

  /** A handle came back: either of the job just accepted, or of the one that holds its unique key. */
  #has(handle: Job): void {
    const job = this.model.byId.get(handle.id)
    if (job === undefined) {
      // In a listener of job:enqueued it may be one whose turn to be announced is still to come.
      this.model.expect(this.model.isReacting, () => `${handle.id} was returned and never announced`)
    } else if (!this.#handles.has(job)) {
      this.#handles.set(job, handle)
      this.#awaitEnd(job)
    }
  }

  #awaitEnd(job: ModelJob): void {
    const handle = this.#handles.get(job)
    if (handle === undefined) return
    job.promisesAsked++
    void handle.settled.then(({ state }) => job.promised.push(state))
  }

  #cancel(which: number, by: 'handle' | 'signal'): void {
    const { model } = this
    // Mostly one that is not over.
    const from = which < 56 && model.pending.size > 0 ? [...model.pending] : model.jobs
    const job = from[which % from.length]
    if (job === undefined) return
    const wasOver = job.over !== undefined
    const handle = this.#handles.get(job) ?? new Job(job.record, this.runtime[engineOf])
    const controller = this.#aborts.get(job)
    const asked = job.cancelAsked
    if (!wasOver) job.cancelAsked = true
    if (by === 'signal' && controller !== undefined && job.revivals === 0) controller.abort()
    else {
      const told = handle.cancel('for the test')
      if (wasOver) return model.expect(!told, () => `cancel() of ${job.id}, which is ${job.over}, says true`)
      if (!told) job.cancelAsked = asked
      job.isCancelled ||= told
      model.expect(told || job.over !== undefined, () => `cancel() of ${job.id} says false`)
    }
    // A signal may abort before the call that it was given to is done; the job is cancelled when it is.
    if (job.over !== undefined || by === 'signal') return
    model.expect(job.record.state === 'running', () => `${job.id} was cancelled, is not with a thread and not over`)
    if (job.isExecuting) model.mustEnd(job)
  }

  #revive(which: number): void {
    const { model } = this
    const dead = model.jobs.filter((job) => job.over === 'dead')
    const job = dead[which % dead.length]
    if (job === undefined) return
    const holder = job.uniqueKey === undefined ? undefined : model.holderOf(job.uniqueKey)
    // In the middle of settling it depends on the order whether a job is still held; no promise is made about that.
    if (this.#find(job.id) !== job.record || this.#isSettling) return
    const isFull = this.runtime.stats().pending >= this.#options.maxPending
    const mayRun = !isFull && (holder === undefined || holder === job) && model.phase === 'running'
    try {
      this.runtime[engineOf].revive(job.record)
    } catch (error) {
      model.expect(isFull && error instanceof QueueFullError, () => `revive() threw ${String(error)}`)
    }
    const isBack = job.record.state !== 'dead'
    if (isBack) model.revived(job)
    // In a listener, one that is not announced yet may hold its unique key.
    model.expect(isBack === mayRun || model.isReacting, () => `${job.id} was ${isBack ? '' : 'not '}revived`)
    if (isBack) this.#awaitEnd(job)
  }

  #killThread(which: number): void {
    const lanes = [...this.#pools.values()].flatMap((pool) => [...pool.lanes])
    lanes[which % lanes.length]?.thread.die(134, new Error('The thread was shot.'))
  }

  #stop(timeout: number): void {
    const { model } = this
    if (model.phase === 'running') {
      this.#endedBeforeStop = { completed: model.endedAs.completed, dead: model.endedAs.dead }
    }
    if (model.phase !== 'stopped') {
      model.phase = 'stopping'
      model.stopDeadline = Math.min(model.stopDeadline, this.clock.now() + timeout)
    }
    this.runtime.stop({ timeout }).then(
      (report) => this.#stopped(report),
      (error: unknown) => model.violate(`stop() rejected: ${String(error)}`),
    )
  }

  #stopped(report: StopReport): void {
    const { model } = this
    if (this.#report !== undefined) return model.expect(report === this.#report, () => 'a second stop() reports anew')
    this.#report = report
    model.phase = 'stopped'
    const lost = model.jobs.filter(({ over }) => over === 'lost').map(({ id }) => id)
    const reported = report.lost.map(({ id }) => id)
    const { completed, dead } = this.#endedBeforeStop
    model.expect(model.pending.size === 0, () => `${model.pending.size} jobs are unaccounted for after stop()`)
    model.expect(lost.sort().join() === reported.sort().join(), () => `stop() reports ${reported} as lost, not ${lost}`)
    const counts = [model.endedAs.completed - completed, model.endedAs.dead - dead]
    model.expect(report.completed === counts[0], () => `stop() reports ${report.completed} completed, not ${counts[0]}`)
    model.expect(report.failed === counts[1], () => `stop() reports ${report.failed} failed, not ${counts[1]}`)
  }

  // ── The end of a run ───────────────────────────────────────────────────────────────────────────────────────────

  /** The load is over: everything drains, and the runtime stops. */
  async drain(): Promise<void> {
    const { model } = this
    this.#reactions.clear()
    this.#act({ do: 'resume', pool: null })
    for (const { model: batch } of this.#batches) if (batch.end === undefined) this.#settle(0, 'sent')
    // Threads that keep dying are restarted at most every 30 seconds.
    const patience = 200_000 + model.pending.size * 120_000
    if (model.phase === 'running') {
      const isDone = await this.until(() => model.pending.size === 0, patience)
      if (!isDone) this.#starved()
      this.check()
      this.#stop(1000)
    }
    const { stopDeadline } = model
    const left = stopDeadline === Number.POSITIVE_INFINITY ? patience : stopDeadline - this.clock.now() + 2000
    const isStopped = await this.until(() => this.#report !== undefined, Math.max(left, 2000))
    model.expect(isStopped, () => `stop() has not ended; ${model.pending.size} jobs are pending`)
    if (model.violation !== undefined) return
    await null
    this.check()
    for (const job of model.jobs) this.#wasTold(job)
  }

  /** After a violation: ends the runtime, so that it leaves nothing behind. */
  async abandon(): Promise<void> {
    let isOver = false
    const over = (): void => void (isOver = true)
    this.runtime.stop({ timeout: 0 }).then(over, over)
    for (let event = 0; event < 5000 && !isOver; event++) {
      try {
        if (this.clock.next() !== Number.POSITIVE_INFINITY) this.clock.moveTo(this.clock.next())
        this.clock.step()
      } catch {
        // What is broken may stay so; the violation is already known.
      }
      await null
    }
  }

  #starved(): void {
    const names = [...this.model.pending].slice(0, 5).map((job) => `${job.id} (${job.rules.name}, ${job.record.state})`)
    const isOver = this.clock.next() === Number.POSITIVE_INFINITY
    this.model.violate(`${isOver ? 'nothing will ever happen, but' : 'after a long while'} ${names} did not end`)
  }

  #wasTold(job: ModelJob): void {
    const { promised, promisesAsked, ends } = job
    if (promisesAsked === 0) return
    const told = ends.map((how) => (how === 'lost' ? 'cancelled' : how))
    const isSame = promised.length === promisesAsked && told.slice(-promisesAsked).join() === promised.join()
    this.model.expect(isSame, () => `settled of ${job.id} told ${promised.join()}, the events ${told.join()}`)
  }

  #find(id: string): JobRecord | undefined {
    const { ids, broker } = this.runtime[engineOf]
    return broker.get(ids.seqOf(id) ?? 0)
  }

  // ── Wiring ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #observed() {
    const { runtime } = this
    const { maxPending, retention } = this.#options
    return { runtime, broker: this.#broker, pools: this.#pools, maxPending, retention }
  }

  #spec(number: number): Spec {
    return this.#specs[number % this.#specs.length] as Spec
  }

  #behaviourOf(record: JobRecord): Behaviour {
    const number = decode(record.payload as Encoded) as number
    const { runs } = this.#spec(number % NESTED)
    const behaviour = runs[Math.min(record.attempts, runs.length) - 1] ?? RETURNS
    if (behaviour.adds === undefined) return behaviour
    // A job adds once, and what it adds adds nothing: a plan must come to an end.
    const adds = number >= NESTED || this.#hasAdded.has(record) ? undefined : behaviour.adds
    this.#hasAdded.add(record)
    return { ...behaviour, adds }
  }

  #listen(): void {
    const { model, runtime } = this
    const checks = this.#checks
    runtime.on('job:enqueued', ({ job }) => {
      const record = this.#find(job.id) as JobRecord
      const number = decode(record.payload as Encoded) as number
      const rules = taskRules[record.entry.index] as (typeof taskRules)[number]
      const isNested = number >= NESTED
      const { batch, controller } = isNested ? {} : this.#adding
      model.accepted(job.id, record, {
        rules,
        batch,
        spec: isNested ? { task: 0, runs: [] } : this.#spec(number),
      })
      const accepted = model.byId.get(job.id)
      if (accepted !== undefined && controller !== undefined) this.#aborts.set(accepted, controller)
    })
    runtime.on('job:completed', ({ job }) => checks.ended(job.id, 'completed', undefined))
    runtime.on('job:cancelled', ({ job, error }) => checks.ended(job.id, 'cancelled', error))
    runtime.on('job:skipped', ({ job }) => checks.ended(job.id, 'skipped', undefined))
    runtime.on('job:dead', ({ job, error }) => checks.ended(job.id, 'dead', error))
    runtime.on('job:lost', ({ job, error }) => checks.ended(job.id, 'lost', error))
    runtime.on('job:retrying', ({ job, error, delay }) => checks.retrying(job.id, error, delay))
    runtime.on('job:interrupted', ({ job }) => checks.interrupted(job.id))
    for (const name of ['enqueued', 'completed', 'cancelled', 'skipped', 'dead', 'retrying', 'interrupted'] as const) {
      this.#reactTo(`job:${name}`)
    }
    this.#reactTo('job:started')
    this.#reactTo('thread:exited')
  }

  #reactTo(name: ReactsTo): void {
    this.runtime.on(name, () => {
      const op = this.#reactions.get(name)?.shift()
      if (op === undefined) return
      const wasReacting = this.model.isReacting
      this.model.isReacting = true
      try {
        this.#act(op)
      } catch (error) {
        this.model.violate(`${op.do} in a listener of ${name} threw ${String(error)}`)
      }
      this.model.isReacting = wasReacting
    })
  }
}

/** Mostly short, sometimes long enough for anything to come in between. */
function latency(chance: number): number {
  return chance < 0.4 ? 0 : chance < 0.8 ? 0.1 : chance < 0.95 ? 2 : 9
}

function nameOf(spec: Spec): string {
  return (taskRules[spec.task % taskRules.length] as (typeof taskRules)[number]).name
}
