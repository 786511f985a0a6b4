/** The hands that operate one process: each step of a plan as calls, and what the calls should answer. */
import type { Batch } from '../../../src/engine/batch.ts'
import type { Job } from '../../../src/engine/job.ts'
import { engineOf } from '../../../src/engine/runtime.ts'
import type { StopReport } from '../../../src/engine/stopping.ts'
import { BrokerUnavailableError, QueueFullError, RuntimeStoppedError } from '../../../src/words/errors.ts'
import type { Op, Plan, ReactsTo, ResponseEnd, Spec } from '../plan.ts'
import { RESPONSES } from '../responses.ts'
import { nameOf, optionsOf } from '../specs.ts'
import type { DurableChecks } from './durable-checks.ts'
import type { DurableBatch, DurableJob, DurableModel } from './durable-model.ts'
import type { Life } from './life.ts'

/** Milliseconds in which the journal notices that it can write again. */
const WORD_OF_IT = 8000

interface Adding {
  batch?: DurableBatch
  when?: DurableJob['when']
  controller?: AbortController
}

interface OpenBatch {
  readonly batch: Batch
  readonly model: DurableBatch
}

/** Operates one process. */
export class DurableHands {
  readonly batches: OpenBatch[] = []
  readonly reactions = new Map<ReactsTo, Op[]>()
  /** What is being added, until it is announced. */
  adding: Adding & { call: number } = { call: 0 }
  readonly aborts = new Map<DurableJob, AbortController>()
  report: StopReport | undefined
  /** True once the process has died: what its promises tell is not heard any more. */
  isOver = false
  readonly #life: Life
  readonly #model: DurableModel
  readonly #checks: DurableChecks
  readonly #plan: Plan
  readonly #handles = new Map<DurableJob, Job>()
  readonly #told = new Map<DurableJob, string[]>()
  readonly #asked = new Map<DurableJob, number>()
  #calls = 0
  #refusesUntil = 0

  constructor(life: Life, model: DurableModel, checks: DurableChecks, plan: Plan) {
    this.#life = life
    this.#model = model
    this.#checks = checks
    this.#plan = plan
  }

  /** Does one step that takes no time. */
  act(op: Op): void {
    const { runtime, clock, link } = this.#life
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
        if (op.pool === null) this.#model.isPaused = true
        else this.#model.paused.add(op.pool)
        return runtime.pause(op.pool ?? undefined)
      case 'resume':
        if (op.pool === null) {
          this.#model.isPaused = false
          this.#model.paused.clear()
        } else this.#model.paused.delete(op.pool)
        return runtime.resume(op.pool ?? undefined)
      case 'wall':
        return clock.jump(op.ms)
      case 'thread dies':
        return this.#killThread(op.lane)
      case 'journal dies':
        // What is let go of at once cannot be told from what was never written.
        return this.#plan.world.retention < 1000 ? undefined : link.die(op.when)
      case 'disk':
        return this.#refuse(op)
      case 'schedule': {
        const { every, missed, id } = op
        try {
          runtime.schedule(id, nameOf(this.#spec(op.spec)), op.spec, { every, missed })
        } catch (error) {
          if (!(error instanceof RuntimeStoppedError)) throw error
        }
        return
      }
      case 'unschedule':
        void runtime.unschedule(op.id).catch(unlessUnavailable)
        return
      case 'stop':
        return this.stop(op.timeout)
      case 'react':
        this.reactions.set(op.on, [...(this.reactions.get(op.on) ?? []), op.does])
    }
  }

  #add(number: number, isTry: boolean): void {
    const { runtime } = this.#life
    const spec = this.#spec(number)
    const controller = spec.signal === true ? new AbortController() : undefined
    const options = {
      ...optionsOf(spec, this.#life.clock.wall()),
      ...(controller ? { signal: controller.signal } : {}),
    }
    this.#taking({ ...(controller ? { controller } : {}) }, 1, () => {
      const job = isTry
        ? runtime.tryEnqueue(nameOf(spec), number, options)
        : runtime.enqueue(nameOf(spec), number, options)
      if (job !== null) this.#has(job)
    })
  }

  #addMany(numbers: readonly number[]): void {
    const entries = numbers.map((number) => {
      const spec = this.#spec(number)
      return { task: nameOf(spec), payload: number, options: optionsOf(spec, this.#life.clock.wall()) }
    })
    this.#taking({}, entries.length, () => {
      for (const job of this.#life.runtime.enqueueMany(entries)) this.#has(job)
    })
  }

  #open(parallel: boolean, stops: boolean): void {
    const batch = this.#life.runtime.openBatch({
      order: parallel ? 'parallel' : 'sequential',
      onFailure: stops ? 'stop' : 'continue',
    })
    this.batches.push({ batch, model: { stops, isParallel: parallel, jobs: [], found: [], end: undefined } })
  }

  #addToBatch(which: number, number: number): void {
    if (this.batches.length === 0) this.#open(false, false)
    const { batch, model } = this.batches[which % this.batches.length] as OpenBatch
    const spec = this.#spec(number)
    this.#taking({ batch: model, when: spec.when ?? 'ok' }, 1, () =>
      this.#has(batch.add(nameOf(spec), number, optionsOf(spec, this.#life.clock.wall()))),
    )
  }

  /** Ends the response of an open batch. */
  settle(which: number, end: ResponseEnd): void {
    const open = this.batches.filter(({ model }) => model.end === undefined)
    const found = open[which % open.length]
    if (found === undefined) return
    this.#model.settles(found.model, end)
    found.batch.settle(RESPONSES[end].facts)
  }

  /** Adds jobs; what is refused must have a reason. */
  #taking(how: Adding, jobs: number, take: () => void): void {
    const model = this.#model
    const { runtime, link } = this.#life
    const before = this.adding
    this.adding = { ...how, call: ++this.#calls }
    const isFull = runtime.stats().pending + jobs > this.#plan.world.maxPending
    try {
      take()
    } catch (error) {
      if (error instanceof RuntimeStoppedError)
        model.expect(model.isStopping, () => 'a running runtime refused a job')
      else if (error instanceof QueueFullError) model.expect(isFull, () => 'a queue with room refused a job')
      else if (error instanceof BrokerUnavailableError)
        model.expect(link.isDown || model.mayRefuse, () => `a job was refused: ${error.message}`)
      else throw error
    } finally {
      this.adding = before
    }
  }

  /** A handle came back: either of the job just accepted, or of the one that holds its unique key. */
  #has(handle: Job): void {
    const model = this.#model
    const job = model.byId.get(handle.id)
    if (job === undefined || job.over === 'gone')
      return model.expect(
        model.isReacting && job === undefined,
        () => `${handle.id} was returned and never announced`,
      )
    const { batch, call, when = 'ok' } = this.adding
    if (job.call !== call && job.over === undefined) model.joined(job, batch, when)
    if (this.#handles.has(job)) return
    this.#handles.set(job, handle)
    // Of some nobody asks anything: the broker may then let go of their records.
    if (job.place % 3 !== 0) this.#awaitStored(job, handle)
    if (job.place % 4 !== 0) this.#awaitEnd(job)
  }

  #awaitStored(job: DurableJob, handle: Job): void {
    handle.stored.then(
      () => {
        if (!(this.isOver || job.isStored || job.over === 'lost')) this.#checks.wasStored(job)
      },
      (error: unknown) => {
        const isRight = this.isOver || this.#model.isStopping || this.#model.mayRefuse
        this.#model.expect(isRight, () => `stored of ${job.id} was rejected: ${String(error)}`)
      },
    )
  }

  #awaitEnd(job: DurableJob): void {
    const handle = this.#handles.get(job)
    if (handle === undefined) return
    this.#asked.set(job, (this.#asked.get(job) ?? 0) + 1)
    void handle.settled.then(({ state }) => this.#told.set(job, [...(this.#told.get(job) ?? []), state]))
  }

  #cancel(which: number, by: 'handle' | 'signal'): void {
    const model = this.#model
    const from = which < 56 && model.pending.size > 0 ? [...model.pending] : model.jobs
    const job = from[which % from.length]
    if (job === undefined || job.over === 'gone') return
    const handle = this.#handles.get(job)
    const controller = this.aborts.get(job)
    const wasOver = job.over !== undefined
    if (!wasOver) job.cancelAsked = true
    if (by === 'signal' && controller !== undefined && job.revivals === 0) controller.abort()
    else if (handle === undefined) {
      // As it happens, as in `#revive`.
      const { jobs } = this.#life.runtime[engineOf]
      const told = jobs
        .find(job.id)
        .then((record) => record !== undefined && jobs.cancel(record, 'for the test'))
      told.then((isTold) => {
        if (this.isOver || !isTold) return
        job.cancelAsked = true
        job.isCancelled ||= job.over === undefined
      }, unlessUnavailable)
    } else {
      const told = handle.cancel('for the test')
      // A handle of a job that has waited on disk since may not have heard how that ended.
      if (wasOver) return
      job.isCancelled ||= told
      const isExpired = model.time() >= job.queueDeadline - 3
      // The handle of a job that was revived does not follow it to the disk.
      const isBack = job.revivals > 0
      const isOver = job.over !== undefined || job.ending !== undefined || isExpired || isBack
      model.expect(told || isOver, () => `cancel() of ${job.id} says false`)
    }
  }

  #revive(which: number): void {
    const model = this.#model
    const dead = model.jobs.filter(({ over }) => over === 'dead')
    const job = dead[which % dead.length]
    if (job === undefined) return
    // The model hears of it as it happens: the promise of `runtime.revive` resolves once it is written, when the job may be over.
    const { jobs } = this.#life.runtime[engineOf]
    const revived = jobs.find(job.id).then((record) => record !== undefined && jobs.revive(record))
    revived.then(
      (isBack) => {
        if (this.isOver || !isBack) return
        model.expect(job.over === 'dead', () => `${job.id}, which is ${job.over}, was revived`)
        model.revived(job)
      },
      (error: unknown) => {
        if (!(error instanceof QueueFullError)) unlessUnavailable(error)
      },
    )
  }

  #refuse({ fault, ms }: Extract<Op, { do: 'disk' }>): void {
    const { clock, disk, isOpen } = this.#life
    const model = this.#model
    if (model.isStopping || !isOpen || !disk.refuses(fault)) return
    const until = clock.now() + ms
    const wordUntil = model.time() + ms + WORD_OF_IT
    model.refusesUntil = Math.max(model.refusesUntil, wordUntil)
    if (fault === 'missing') model.awayUntil = wordUntil
    this.#refusesUntil = until
    clock.at(until, () => {
      if (this.#refusesUntil === until && !this.isOver) disk.refuses(undefined)
    })
  }

  #killThread(which: number): void {
    const lanes = [...this.#life.pools.values()].flatMap((pool) => [...pool.lanes])
    lanes[which % lanes.length]?.thread.die(134, new Error('The thread was shot.'))
  }

  /** Stops the runtime. */
  stop(timeout: number): void {
    this.#model.isStopping = true
    this.#life.runtime.stop({ timeout }).then(
      (report) => {
        this.report = report
      },
      (error: unknown) => this.#model.violate(`stop() rejected: ${String(error)}`),
    )
  }

  /** The promises of jobs have told what their events did. */
  promisesWereKept(): void {
    for (const [job, asked] of this.#asked) {
      // A handle of a job that was revived since goes on telling of the end that it knows.
      if (job.over === undefined || job.over === 'gone' || job.revivals > 0) continue
      const told = this.#told.get(job) ?? []
      const end = job.over === 'lost' ? 'cancelled' : job.over
      const isSame = told.length === asked && told.at(-1) === end
      this.#model.expect(
        isSame,
        () => `settled of ${job.id} told ${told.join() || 'nothing'}, and it is ${end}`,
      )
    }
  }

  #spec(number: number): Spec {
    return this.#plan.specs[number % this.#plan.specs.length] as Spec
  }
}

function unlessUnavailable(error: unknown): void {
  if (!(error instanceof BrokerUnavailableError)) throw error
}
