/** The hands that operate the runtime: each step of a plan as calls, and what the calls should answer. */
import type { Batch } from '../../src/engine/batch.ts'
import { Job } from '../../src/engine/job.ts'
import { engineOf, type Runtime } from '../../src/engine/runtime.ts'
import type { StopReport } from '../../src/engine/stopping.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import { QueueFullError, RuntimeStoppedError } from '../../src/words/errors.ts'
import { isCalledFor, type Model } from './model.ts'
import { type ModelBatch, type ModelJob, uniqueKeyOf } from './model-job.ts'
import type { Op, Plan, ReactsTo, Spec } from './plan.ts'
import { RESPONSES } from './responses.ts'
import type { SimPool } from './sim-pool.ts'
import { nameOf, optionsOf, rulesOf } from './specs.ts'

interface Adding {
  batch?: ModelBatch
  controller?: AbortController | undefined
}

interface OpenBatch {
  readonly batch: Batch
  readonly model: ModelBatch
}

/** Operates one runtime. */
export class Hands {
  readonly batches: OpenBatch[] = []
  /** What the next listener of an event does. */
  readonly reactions = new Map<ReactsTo, Op[]>()
  /** What is being added, until it is announced. */
  adding: Adding = {}
  report: StopReport | undefined
  readonly model: Model
  readonly runtime: Runtime
  readonly #specs: readonly Spec[]
  readonly #maxPending: number
  readonly #pools: ReadonlyMap<string, SimPool>
  readonly #handles = new Map<ModelJob, Job>()
  #endedBeforeStop = { completed: 0, dead: 0 }
  #isSettling = false
  /** What there was before the call that is being made: how many jobs, and who held the unique keys that it names. */
  #before: { jobs: number; holders: ReadonlySet<ModelJob> } = { jobs: 0, holders: new Set() }

  constructor(runtime: Runtime, model: Model, { specs, world }: Plan, pools: ReadonlyMap<string, SimPool>) {
    this.runtime = runtime
    this.model = model
    this.#specs = specs
    this.#maxPending = world.maxPending
    this.#pools = pools
  }

  /** Does one step that takes no time. */
  act(op: Op): void {
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
        return this.settle(op.batch, op.end)
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
        return this.model.clock.jump(op.ms)
      case 'thread dies':
        return this.#killThread(op.lane)
      case 'stop':
        return this.stop(op.timeout)
      case 'react':
        this.reactions.set(op.on, [...(this.reactions.get(op.on) ?? []), op.does])
    }
  }

  #add(number: number, isTry: boolean): void {
    const spec = this.spec(number)
    const name = nameOf(spec)
    const controller = spec.signal === true ? new AbortController() : undefined
    const options = {
      ...optionsOf(spec, this.model.clock.wall()),
      ...(controller ? { signal: controller.signal } : {}),
    }
    this.#taking('call', { specs: [spec], isTry, controller }, () => {
      const job = isTry
        ? this.runtime.tryEnqueue(name, number, options)
        : this.runtime.enqueue(name, number, options)
      if (job !== null) this.#has(job, spec)
      return job !== null
    })
  }

  #addMany(numbers: readonly number[]): void {
    const entries = numbers.map((number) => {
      const spec = this.spec(number)
      return { task: nameOf(spec), payload: number, options: optionsOf(spec, this.model.clock.wall()) }
    })
    this.#taking('call', { specs: numbers.map((number) => this.spec(number)) }, () => {
      for (const [index, job] of this.runtime.enqueueMany(entries).entries())
        this.#has(job, this.spec(numbers[index] as number))
      return true
    })
  }

  #open(parallel: boolean, stops: boolean): void {
    const batch = this.runtime.openBatch({
      order: parallel ? 'parallel' : 'sequential',
      onFailure: stops ? 'stop' : 'continue',
    })
    this.batches.push({
      batch,
      model: {
        ...{ stops, isParallel: parallel, jobs: [], calls: [] },
        ...{ isShared: false, hasRevived: false, end: undefined },
      },
    })
  }

  #addToBatch(which: number, number: number): void {
    if (this.batches.length === 0) this.#open(false, false)
    const { batch, model } = this.batches[which % this.batches.length] as OpenBatch
    const spec = this.spec(number)
    const controller = spec.signal === true ? new AbortController() : undefined
    const options = {
      ...optionsOf(spec, this.model.clock.wall()),
      ...(controller ? { signal: controller.signal } : {}),
    }
    this.#taking('request', { specs: [spec], batch: model, controller }, () => {
      this.#has(batch.add(nameOf(spec), number, options), spec)
      return true
    })
  }

  /** Ends the response of an open batch. */
  settle(which: number, end: keyof typeof RESPONSES): void {
    const open = this.batches.filter(({ model }) => model.end === undefined)
    const found = open[which % open.length]
    if (found === undefined) return
    const wasReacting = this.model.isReacting
    this.#isSettling = true
    this.model.settles(found.model, end)
    // A skipped job lets go of the next one at a moment of its own.
    this.model.isReacting ||= found.model.calls.some((call) => !isCalledFor(call))
    found.batch.settle(RESPONSES[end].facts)
    this.model.settled(found.model)
    this.#isSettling = false
    this.model.isReacting = wasReacting
    for (const { job } of found.model.calls) {
      const isWanted = job.over !== undefined || job.isSent || this.model.isWanted(job)
      this.model.expect(isWanted, () => `${job.id} is still there although its response does not call for it`)
    }
  }

  /** Adds jobs, and holds what is refused against what should be. */
  #taking(
    door: 'call' | 'request',
    how: Adding & { specs: readonly Spec[]; isTry?: boolean },
    take: () => boolean,
  ): void {
    const { model } = this
    const { specs, isTry = false, ...adding } = how
    const outer = { adding: this.adding, before: this.#before }
    this.adding = adding
    const isClosed =
      model.phase !== 'running' && (door === 'call' || this.runtime.stats().phase === 'stopped')
    // In a listener, jobs may be in that have not been announced yet.
    const isFull = this.runtime.stats().pending + this.#countNew(specs) > this.#maxPending
    // Nor is one that holds a unique key known by then.
    const mayBeTwins =
      model.isReacting && specs.some((spec) => uniqueKeyOf(rulesOf(spec), spec) !== undefined)
    if (!(isClosed || (isFull && specs.length > 1))) this.#join(specs, adding)
    this.#before = { jobs: model.jobs.length, holders: new Set(this.#holders(specs)) }
    try {
      const isTaken = take()
      model.expect(!isClosed, () => 'a job was accepted by a runtime that has stopped')
      model.expect(isTaken === !isFull || (isTaken && mayBeTwins), () =>
        isFull ? 'a full queue took a job' : 'tryEnqueue refused a job for nothing',
      )
    } catch (error) {
      if (error instanceof RuntimeStoppedError)
        model.expect(isClosed, () => 'a running runtime refused a job')
      else if (error instanceof QueueFullError) {
        model.expect(isFull && !isTry, () => 'a queue with room refused a job')
        model.expect(
          error.retryAfter >= 1 && error.retryAfter <= 300,
          () => `retryAfter is ${error.retryAfter}`,
        )
      } else throw error
    } finally {
      this.adding = outer.adding
      this.#before = outer.before
    }
  }

  /** A call that will find a job has its say from now on. */
  #join(specs: readonly Spec[], { batch, controller }: Adding): void {
    const wasReacting = this.model.isReacting
    // Of several, those before it come first.
    this.model.isReacting ||= specs.length > 1
    for (const spec of specs)
      for (const holder of this.#holders([spec])) this.model.joined(holder, { batch, spec, controller })
    this.model.isReacting = wasReacting
  }

  /** The jobs that hold the unique keys of these now. */
  *#holders(specs: readonly Spec[]): Iterable<ModelJob> {
    for (const spec of specs) {
      const key = uniqueKeyOf(rulesOf(spec), spec)
      const holder = key === undefined ? undefined : this.model.holderOf(key)
      if (holder !== undefined) yield holder
    }
  }

  /** How many of these would be added: what equals a job that is there, or one before it, is not. */
  #countNew(specs: readonly Spec[]): number {
    const seen = new Set<string>()
    return specs.filter((spec) => {
      const key = uniqueKeyOf(rulesOf(spec), spec)
      if (key === undefined) return true
      const isNew = !seen.has(key) && this.model.holderOf(key) === undefined
      seen.add(key)
      return isNew
    }).length
  }

  /** A handle came back: either of the job just accepted, or of the one that holds its unique key. */
  #has(handle: Job, spec: Spec): void {
    const { model } = this
    const job = model.byId.get(handle.id)
    if (job === undefined) {
      // In a listener of job:enqueued it may be one whose turn to be announced is still to come.
      model.expect(model.isReacting, () => `${handle.id} was returned and never announced`)
      const { batch, controller } = this.adding
      model.joinsEarly(handle.id, { batch, spec, controller })
      return
    }
    const isNew = model.jobs.indexOf(job, this.#before.jobs) !== -1
    model.expect(
      isNew || this.#before.holders.has(job) || model.isReacting,
      () => `${handle.id} was found by a call, and does not hold its unique key`,
    )
    if (this.#handles.has(job)) return
    this.#handles.set(job, handle)
    this.#awaitEnd(job)
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
    const handle = this.#handles.get(job) ?? new Job(job.record, this.runtime[engineOf].jobs)
    const calls = job.calls.filter(({ controller }) => controller !== undefined)
    const call = calls[which % calls.length]
    if (by === 'signal' && call?.controller !== undefined) {
      model.takeBack(call)
      call.controller.abort()
      // Others may ask for it still.
      if (!wasOver && model.isWanted(job)) {
        return model.expect(
          job.over === undefined,
          () => `${job.id} is ${job.over} although only one of its calls was taken back`,
        )
      }
    } else {
      const asked = job.cancelAsked
      if (!wasOver) job.cancelAsked = true
      const told = handle.cancel('for the test')
      if (wasOver) return model.expect(!told, () => `cancel() of ${job.id}, which is ${job.over}, says true`)
      if (!told) job.cancelAsked = asked
      job.isCancelled ||= told
      model.expect(told || job.over !== undefined, () => `cancel() of ${job.id} says false`)
    }
    // A signal may abort before the call that it was given to is done; the job is cancelled when it is.
    if (job.over !== undefined || by === 'signal') return
    model.expect(
      job.record.state === 'running',
      () => `${job.id} was cancelled, is not with a thread and not over`,
    )
    if (job.isExecuting) model.mustEnd(job)
  }

  #revive(which: number): void {
    const { model } = this
    const dead = model.jobs.filter(({ over }) => over === 'dead')
    const job = dead[which % dead.length]
    if (job === undefined) return
    const holder = job.uniqueKey === undefined ? undefined : model.holderOf(job.uniqueKey)
    // In the middle of settling it depends on the order whether a job is still held; no promise is made about that.
    if (this.find(job.id) !== job.record || this.#isSettling) return
    const isFull = this.runtime.stats().pending >= this.#maxPending
    const mayRun = !isFull && (holder === undefined || holder === job) && model.phase === 'running'
    try {
      this.runtime[engineOf].jobs.revive(job.record)
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

  /** Stops the runtime. */
  stop(timeout: number): void {
    const { model } = this
    if (model.phase === 'running') {
      this.#endedBeforeStop = { completed: model.endedAs.completed, dead: model.endedAs.dead }
    }
    if (model.phase !== 'stopped') {
      model.phase = 'stopping'
      model.stopDeadline = Math.min(model.stopDeadline, this.model.clock.now() + timeout)
    }
    this.runtime.stop({ timeout }).then(
      (report) => this.#stopped(report),
      (error: unknown) => model.violate(`stop() rejected: ${String(error)}`),
    )
  }

  #stopped(report: StopReport): void {
    const { model } = this
    if (this.report !== undefined)
      return model.expect(report === this.report, () => 'a second stop() reports anew')
    this.report = report
    model.phase = 'stopped'
    const lost = model.jobs.filter(({ over }) => over === 'lost').map(({ id }) => id)
    const reported = new Set(report.lost.map(({ id }) => id))
    const { completed, dead } = this.#endedBeforeStop
    model.expect(
      model.pending.size === 0,
      () => `${model.pending.size} jobs are unaccounted for after stop()`,
    )
    model.expect(
      lost.length === reported.size && lost.every((id) => reported.has(id)),
      () => `stop() reports ${[...reported]} as lost, not ${lost}`,
    )
    const counts = [model.endedAs.completed - completed, model.endedAs.dead - dead]
    model.expect(
      report.completed === counts[0],
      () => `stop() reports ${report.completed} completed, not ${counts[0]}`,
    )
    model.expect(
      report.failed === counts[1],
      () => `stop() reports ${report.failed} failed, not ${counts[1]}`,
    )
  }

  /** The promises of a job have told what its events did. */
  wasTold(job: ModelJob): void {
    const { promised, promisesAsked, ends } = job
    if (promisesAsked === 0) return
    const told = ends.map((how) => (how === 'lost' ? 'cancelled' : how))
    const isSame = promised.length === promisesAsked && told.slice(-promisesAsked).join() === promised.join()
    this.model.expect(isSame, () => `settled of ${job.id} told ${promised.join()}, the events ${told.join()}`)
  }

  /** A job's record, if the broker still has it. */
  find(id: string): JobRecord | undefined {
    const { ids, broker } = this.runtime[engineOf]
    return broker.jobs.get(ids.seqOf(id) ?? 0)
  }

  /** A spec of the plan. */
  spec(number: number): Spec {
    return this.#specs[number % this.#specs.length] as Spec
  }
}
