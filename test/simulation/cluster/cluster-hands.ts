/** The hands that operate one process of a cluster: each step of a plan as calls, and what the calls should answer. */
import type { Batch } from '../../../src/engine/batch.ts'
import type { Job } from '../../../src/engine/job.ts'
import { engineOf, type Runtime } from '../../../src/engine/runtime.ts'
import type { StopReport } from '../../../src/engine/stopping.ts'
import { decode, type Encoded } from '../../../src/rules/codec.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { BrokerUnavailableError, QueueFullError, RuntimeStoppedError } from '../../../src/words/errors.ts'
import { uniqueKeyOf } from '../model-job.ts'
import type { Op, Plan, ReactsTo, ResponseEnd, Spec } from '../plan.ts'
import { RESPONSES } from '../responses.ts'
import { NESTED, type SimPool } from '../sim-pool.ts'
import { nameOf, optionsOf } from '../specs.ts'
import { KILL_GRACE, taskRules } from '../tasks.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import type { ClusterBatch, ClusterJob, ClusterModel } from './cluster-model.ts'
import { Unreachable } from './model-client.ts'
import type { SimProcess } from './sim-process.ts'

/** Whatever the store does: a second for it, and what threads may take that are to be ended. */
const LONGEST_AFTER_STOP = 1000 + 2 * KILL_GRACE + 1000

interface Adding {
  batch?: ClusterBatch
  when?: ClusterJob['when']
  controller?: AbortController
  /** Each call has a number. */
  call?: number
}

interface OpenBatch {
  readonly batch: Batch
  readonly model: ClusterBatch
}

const NOBODY: Spec = { task: 0, runs: [] }

/** A process as the hands need it. */
export interface Operated {
  readonly number: number
  readonly runtime: Runtime
  readonly clock: VirtualClock
  readonly pools: ReadonlyMap<string, SimPool>
  readonly client: { readonly isConnected: boolean }
  readonly isGone: boolean
  readonly frozenUntil: number
  setWall(milliseconds: number): void
  /** The record of a job that it has accepted. */
  recordOf(id: string): JobRecord | undefined
}

/** Operates one process. */
export class ClusterHands<P extends Operated = SimProcess> {
  readonly batches: OpenBatch[] = []
  readonly reactions = new Map<ReactsTo, Op[]>()
  readonly process: P
  report: StopReport | undefined
  isStopping = false
  readonly #model: ClusterModel
  readonly #plan: Plan
  readonly #now: () => number
  readonly #handles = new Map<ClusterJob, Job>()
  readonly #settled = new Map<ClusterJob, string | undefined>()
  readonly #aborts = new Map<ClusterJob, AbortController>()
  #adding: Adding = {}
  #calls = 0
  #isReacting = false

  constructor(process: P, model: ClusterModel, plan: Plan, now: () => number) {
    this.process = process
    this.#model = model
    this.#plan = plan
    this.#now = now
  }

  /** Does one step that takes no time. */
  act(op: Op): void {
    const { runtime } = this.process
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
        return runtime.pause(this.#poolOf(op.pool))
      case 'resume':
        return runtime.resume(this.#poolOf(op.pool))
      case 'thread dies':
        return this.#killThread(op.lane)
      case 'wall':
        return this.process.setWall(op.ms)
      case 'schedule':
        return this.#schedule(op)
      case 'unschedule':
        void runtime.unschedule(op.id).catch(unlessUnavailable)
        return
      case 'stop':
        return this.stop(op.timeout)
      case 'react':
        this.reactions.set(op.on, [...(this.reactions.get(op.on) ?? []), op.does])
    }
  }

  /** An event has been told, to which something may react. */
  reactTo(name: ReactsTo): void {
    const op = this.reactions.get(name)?.shift()
    if (op === undefined || this.process.isGone) return
    const wasReacting = this.#isReacting
    this.#isReacting = true
    try {
      this.act(op)
    } catch (error) {
      this.#model.violate(`${op.do} in a listener of ${name} threw ${String(error)}`)
    }
    this.#isReacting = wasReacting
  }

  // ── Adding ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #add(number: number, isTry: boolean): void {
    const { runtime, clock } = this.process
    const spec = this.#spec(number)
    const controller = spec.signal === true ? new AbortController() : undefined
    const options = { ...optionsOf(spec, clock.wall()), ...(controller && { signal: controller.signal }) }
    this.#taking({ ...(controller && { controller }) }, 1, () => {
      const job = isTry
        ? runtime.tryEnqueue(nameOf(spec), number, options)
        : runtime.enqueue(nameOf(spec), number, options)
      if (job !== null) this.#has(job)
    })
  }

  #addMany(numbers: readonly number[]): void {
    const wall = this.process.clock.wall()
    const entries = numbers.map((number) => {
      const spec = this.#spec(number)
      return { task: nameOf(spec), payload: number, options: optionsOf(spec, wall) }
    })
    this.#taking({}, entries.length, () => {
      for (const job of this.process.runtime.enqueueMany(entries)) this.#has(job)
    })
  }

  #open(parallel: boolean, stops: boolean): void {
    const batch = this.process.runtime.openBatch({
      order: parallel ? 'parallel' : 'sequential',
      onFailure: stops ? 'stop' : 'continue',
    })
    const { number } = this.process
    this.batches.push({
      batch,
      model: {
        process: number,
        stops,
        isParallel: parallel,
        jobs: [],
        end: undefined,
        mayGo: this.isStopping,
      },
    })
  }

  #addToBatch(which: number, number: number): void {
    if (this.batches.length === 0) this.#open(false, false)
    const { batch, model } = this.batches[which % this.batches.length] as OpenBatch
    const spec = this.#spec(number)
    this.#taking({ batch: model, when: spec.when ?? 'ok' }, 1, () =>
      this.#has(batch.add(nameOf(spec), number, optionsOf(spec, this.process.clock.wall()))),
    )
  }

  /** Ends the response of an open batch. */
  settle(which: number, end: ResponseEnd): void {
    const open = this.batches.filter(({ model }) => model.end === undefined)
    const found = open[which % open.length]
    if (found === undefined) return
    found.model.end = end
    // A stop that has come first may have let them go.
    if (!found.model.mayGo) this.#delaysCount(found.model)
    found.batch.settle(RESPONSES[end].facts)
  }

  /** The delays of a batch's jobs count from now on. */
  #delaysCount({ jobs }: ClusterBatch): void {
    for (const job of jobs) {
      if (job.spec.delay !== undefined && job.joined.length === 0) job.dueAt = this.#now() + job.spec.delay
    }
  }

  /** Adds jobs; what is refused must have a reason. */
  #taking(how: Adding, jobs: number, take: () => void): void {
    const model = this.#model
    const { runtime, client } = this.process
    const before = this.#adding
    this.#adding = { ...how, call: ++this.#calls }
    const isFull = runtime.stats().pending + jobs > this.#plan.world.maxPending
    try {
      take()
    } catch (error) {
      const { state } = runtime.stats().broker ?? {}
      if (error instanceof RuntimeStoppedError)
        model.expect(this.isStopping, () => 'a running runtime refused a job')
      else if (error instanceof QueueFullError) model.expect(isFull, () => 'a queue with room refused a job')
      else if (error instanceof BrokerUnavailableError)
        model.expect(state === 'down' || !client.isConnected, () => `a job was refused: ${error.message}`)
      else throw error
    } finally {
      this.#adding = before
    }
  }

  /** A job was announced. */
  accepted(id: string): void {
    const record = this.process.recordOf(id)
    if (record === undefined || this.process.isGone) return
    const number = decode(record.payload as Encoded) as number
    const rules = taskRules.find(({ name }) => name === record.entry.task.name) as (typeof taskRules)[number]
    const { uniqueKey, key } = record.extras ?? {}
    const isScheduled = uniqueKey?.includes(':schedule ') === true
    const isOurs = number < NESTED && !isScheduled
    const spec = isOurs ? this.#spec(number) : NOBODY
    const { batch, controller, when = 'ok', call } = isOurs ? this.#adding : {}
    const isHeld = batch !== undefined && batch.end === undefined && !batch.mayGo
    const now = this.#now()
    const runAt = spec.delay === undefined && spec.runAt !== undefined ? now + Math.max(0, spec.runAt) : 0
    const job: ClusterJob = {
      ...{
        id,
        record,
        spec,
        rules,
        batch,
        when,
        call,
        key,
        uniqueKey,
        process: this.process.number,
        place: record.seq,
      },
      isSequential: batch !== undefined && !(spec.parallel ?? batch.isParallel),
      ...{ joined: [], runs: [], takenFrom: new Set<number>(), ends: [], told: new Map<number, string[]>() },
      dueAt: spec.delay === undefined || isHeld ? runAt : now + spec.delay,
      ...{
        retryAt: 0,
        takenTimes: 0,
        revivesAsked: 0,
        isThere: false,
        isStored: false,
        isOver: false,
        isDuplicate: false,
        isOrphan: false,
        cancelAsked: false,
        revivals: 0,
      },
    }
    this.#model.accepted(job)
    if (controller !== undefined) this.#aborts.set(job, controller)
  }

  /** A handler adds a job of a task, which may find one that is there. */
  nests(task: string): void {
    const rules = taskRules.find(({ name }) => name === task)
    const uniqueKey = rules === undefined ? undefined : uniqueKeyOf(rules, NOBODY)
    if (uniqueKey === undefined) return
    for (const job of this.#model.jobs) {
      if (job.uniqueKey !== uniqueKey || job.process !== this.process.number || job.isOver) continue
      job.joined.push({ batch: undefined, when: 'ok' })
      job.dueAt = 0
    }
  }

  /** A handle came back: either of the job just accepted, or of the one that holds its unique key. */
  #has(handle: Job): void {
    const model = this.#model
    const job = model.byId.get(handle.id)
    if (job === undefined)
      return model.expect(this.#isReacting, () => `${handle.id} was returned and never announced`)
    if (job.call !== this.#adding.call) {
      job.joined.push({ batch: this.#adding.batch, when: this.#adding.when ?? 'ok' })
      job.dueAt = 0
    }
    if (this.#handles.has(job)) return
    this.#handles.set(job, handle)
    // Of some nobody asks anything. A held one is written when somebody wants it to be safe: then it is held for long.
    const isHeld = job.batch !== undefined && job.batch.end === undefined
    if (job.place % (isHeld ? 7 : 3) !== 0) return this.#awaitEnd(job, handle)
    handle.stored.then(
      () => {
        if (this.process.isGone) return
        if (job.ends.length === 0) job.isStored = true
        model.expect(
          job.isThere || job.isOver,
          () => `stored of ${job.id} has resolved, and the store does not have it`,
        )
      },
      (error: unknown) => {
        const isRight = this.process.isGone || this.isStopping
        model.expect(isRight, () => `stored of ${job.id} was rejected: ${String(error)}`)
      },
    )
    this.#awaitEnd(job, handle)
  }

  #awaitEnd(job: ClusterJob, handle: Job): void {
    this.#settled.set(job, undefined)
    void handle.settled.then(({ state }) => void this.#settled.set(job, state))
  }

  // ── What is there already ──────────────────────────────────────────────────────────────────────────────────────

  #cancel(which: number, by: 'handle' | 'signal'): void {
    const { jobs } = this.#model
    const unfinished = jobs.filter(({ isOver }) => !isOver)
    const from = which < 56 && unfinished.length > 0 ? unfinished : jobs
    const job = from[which % from.length]
    if (job === undefined) return
    const handle = this.#handles.get(job)
    const controller = this.#aborts.get(job)
    job.cancelAsked = true
    if (by === 'signal' && controller !== undefined) return controller.abort()
    if (handle !== undefined) return void handle.cancel('for the test')
    this.process.runtime.cancel(job.id, 'for the test').catch(unlessUnavailable)
  }

  #revive(which: number): void {
    const dead = this.#model.jobs.filter(
      ({ ends, isOver, isThere }) => isOver && isThere && ends.at(-1) === 'dead',
    )
    const job = dead[which % dead.length]
    if (job === undefined) return
    job.revivesAsked++
    this.process.runtime.revive(job.id).catch((error: unknown) => {
      if (!(error instanceof QueueFullError)) unlessUnavailable(error)
    })
  }

  #schedule({ id, spec, every, missed }: Extract<Op, { do: 'schedule' }>): void {
    this.#model.hasSchedules = true
    try {
      this.process.runtime.schedule(id, nameOf(this.#spec(spec)), spec, { every, missed })
    } catch (error) {
      if (!(error instanceof RuntimeStoppedError)) throw error
    }
  }

  #killThread(which: number): void {
    const lanes = [...this.process.pools.values()].flatMap((pool) => [...pool.lanes])
    lanes[which % lanes.length]?.thread.die(134, new Error('The thread was shot.'))
  }

  /** Stops the runtime. */
  stop(timeout: number): void {
    this.isStopping = true
    for (const { model } of this.batches) {
      if (model.end === undefined && !model.mayGo) this.#delaysCount(model)
      model.mayGo = true
    }
    const { process } = this
    const begun = process.clock.now()
    const frozenUntil = process.frozenUntil
    process.runtime.stop({ timeout }).then(
      (report) => {
        this.report = report
        const took = process.clock.now() - begun
        const isWell = process.frozenUntil === frozenUntil
        this.#model.expect(
          !isWell || took <= timeout + LONGEST_AFTER_STOP,
          () => `stop({ timeout: ${timeout} }) of ${process.number} took ${Math.round(took)} ms`,
        )
      },
      (error: unknown) => this.#model.violate(`stop() rejected: ${String(error)}`),
    )
  }

  /** All that had handles here are over, and the handles have told so. */
  promisesWereKept(): void {
    for (const [job, told] of this.#settled) {
      const ends = job.ends.map((end) => (end === 'lost' ? 'cancelled' : end))
      this.#model.expect(
        told !== undefined && ends.includes(told),
        () => `settled of ${job.id} told ${told ?? 'nothing'}, and it is ${ends.at(-1)}`,
      )
    }
  }

  #poolOf(name: string | null): string | undefined {
    return name !== null && this.process.pools.has(name) ? name : undefined
  }

  /** What is still to be done. */
  get pending(): number {
    return this.process.runtime[engineOf].pending.count
  }

  #spec(number: number): Spec {
    return this.#plan.specs[number % this.#plan.specs.length] as Spec
  }
}

function unlessUnavailable(error: unknown): void {
  const isExpected = [BrokerUnavailableError, RuntimeStoppedError, Unreachable].some(
    (kind) => error instanceof kind,
  )
  if (!isExpected) throw error
}
