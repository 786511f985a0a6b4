/** What the runtime, the broker and the pools say of themselves after each step, against the model. */
import type { Broker } from '../../src/brokers/port/broker.ts'
import type { Runtime } from '../../src/engine/runtime.ts'
import type { JobState } from '../../src/words/job.ts'
import { type Model, TIMER_SLACK } from './model.ts'
import type { ModelJob, Over } from './model-job.ts'
import type { SimPool } from './sim-pool.ts'

/** What the checks look at besides the model. */
export interface Observed {
  readonly runtime: Runtime
  readonly broker: Broker
  readonly pools: ReadonlyMap<string, SimPool>
  readonly maxPending: number
  readonly retention: number
}

/** Compares numbers. */
export class Census {
  readonly #model: Model

  constructor(model: Model) {
    this.#model = model
  }

  /** Compares all numbers. */
  step({ runtime, broker, maxPending, retention }: Observed): void {
    const model = this.#model
    const stats = runtime.stats()
    const pending = model.pending.size
    model.expect(pending === stats.pending, () => `stats().pending is ${stats.pending}, not ${pending}`)
    model.expect(pending <= maxPending, () => `${pending} jobs are pending, with a limit of ${maxPending}`)
    for (const how of ['completed', 'cancelled', 'skipped', 'dead', 'lost'] as const) {
      const { [how]: expected } = model.endedAs
      model.expect(
        stats[how] - this.#revived(how) === expected,
        () => `stats().${how} is ${stats[how]}, not ${expected}`,
      )
    }
    const counts = broker.jobs.counts()
    if (!(counts instanceof Promise)) this.#counts(counts, retention)
    for (const job of model.pending) if (job.isExecuting) model.endsInTime(job)
  }

  #revived(how: Over): number {
    return how === 'dead' ? this.#model.jobs.reduce((sum, job) => sum + job.revivals, 0) : 0
  }

  #counts(counts: Record<JobState, number>, retention: number): void {
    const model = this.#model
    const { completed, cancelled, skipped, dead, ...rest } = counts
    const finished = completed + cancelled + skipped + dead
    const unfinished = Object.values(rest).reduce((sum, count) => sum + count, 0)
    model.expect(
      unfinished === model.pending.size,
      () => `counts() knows ${unfinished} unfinished jobs: ${JSON.stringify(rest)}`,
    )
    model.expect(
      finished <= retention,
      () => `${finished} finished jobs are kept, with a limit of ${retention}`,
    )
    if (model.jobs.length <= retention) {
      const over = model.jobs.length - model.pending.size
      model.expect(finished === over, () => `${finished} finished jobs are kept of ${over}`)
    }
    const expected = this.#states()
    if (expected === undefined) return
    for (const [state, count] of Object.entries(expected)) {
      const actual = counts[state as JobState]
      model.expect(actual === count, () => `${actual} jobs are ${state}, not ${count}`)
    }
  }

  /** How many jobs should be in each state; undefined when a timer is just due and may or may not have fired. */
  #states(): Partial<Record<JobState, number>> | undefined {
    const model = this.#model
    const now = model.clock.now()
    const states = { held: 0, waiting: 0, scheduled: 0, available: 0, running: 0, retryable: 0 }
    const keys = new Set<string>()
    for (const job of model.pending) {
      if (model.isVague(job)) return undefined
      const isTimed = job.dueAt > 0 || job.retryAt > 0
      if (isTimed && (isNear(job.retryAt, now) || isNear(job.runnableAt ?? 0, now))) return undefined
      const state = this.#stateOf(job)
      states[state]++
      if (state === 'available' && job.key !== undefined) keys.add(job.key)
    }
    // Of a key's line the first may run, if none runs already.
    for (const key of keys) {
      const line = model.lineOf(key)
      const inLine = line.filter((job) => this.#stateOf(job) === 'available').length
      const waiting = inLine < line.length ? inLine : inLine - 1
      states.available -= waiting
      states.waiting += waiting
    }
    return states
  }

  /** The state of a job, but for its key: whether that lets it run depends on the others. */
  #stateOf(job: ModelJob) {
    const now = this.#model.clock.now()
    if (this.#model.isHeld(job)) return 'held'
    if (job.runnableAt === undefined) return 'waiting'
    if (job.isSent) return 'running'
    if (job.retryAt > now) return 'retryable'
    return job.runnableAt > now ? 'scheduled' : 'available'
  }

  /** No thread stands idle, and no pool stays small, while a job waits for it. */
  noIdling({ pools }: Observed): void {
    const model = this.#model
    if (model.phase !== 'running' || model.isPaused) return
    for (const job of model.pending) {
      const pool = pools.get(job.rules.pool)
      if (pool === undefined || model.paused.has(pool.name) || !model.surelyWaits(job)) continue
      const lanes = [...pool.lanes]
      const idle = lanes.find((lane) => lane.room() > 0 && !lane.thread.isDead)
      model.expect(
        idle === undefined,
        () => `${job.id} waits although thread ${idle?.id} of "${pool.name}" is idle`,
      )
      const isChanging = pool.isComing || lanes.some((lane) => lane.isKilled || lane.thread.isDead)
      model.expect(
        isChanging || !pool.canGrow,
        () => `${job.id} waits although pool "${pool.name}" could grow`,
      )
    }
  }
}

function isNear(moment: number, now: number): boolean {
  return Math.abs(moment - now) <= TIMER_SLACK
}
