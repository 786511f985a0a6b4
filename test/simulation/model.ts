/**
 * The reference model: what is known of each job, from the plan, from the events, and from what the simulated threads
 * really do. It knows nothing of the broker; `checks` compares the two.
 */
import type { JobRecord } from '../../src/rules/job-record.ts'
import { RESPONSES } from './responses.ts'
import type { ResponseEnd, Spec } from './plan.ts'
import { KILL_GRACE, type TaskRules } from './tasks.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Terminal states, with `lost` apart. */
export type Over = 'completed' | 'cancelled' | 'skipped' | 'dead' | 'lost'

/** A batch and its jobs in the order added. */
export interface ModelBatch {
  readonly stops: boolean
  readonly isParallel: boolean
  readonly jobs: ModelJob[]
  /** Those that go one after the other, down to the last that is not over. */
  readonly chain: ModelJob[]
  end: ResponseEnd | undefined
}

/** One accepted job. */
export interface ModelJob {
  readonly id: string
  readonly record: JobRecord
  readonly rules: TaskRules & { readonly name: string }
  readonly key: string | undefined
  readonly uniqueKey: string | undefined
  readonly uniqueUntil: number | undefined
  readonly priority: number
  readonly timeout: number
  readonly queueDeadline: number
  readonly maxAttempts: number
  readonly when: 'ok' | 'error' | 'always'
  readonly delay: number | undefined
  readonly batch: ModelBatch | undefined
  readonly isSequential: boolean
  /** The job of its batch that it waits for. */
  waitsFor: ModelJob | undefined
  dueAt: number
  /** When it can run but for its key; undefined while it is held or behind its batch. */
  runnableAt: number | undefined
  /** Its place among those that became runnable. */
  place: number
  isPlaceKnown: boolean
  /** Since when it waits for a thread, as far as its key lets. */
  readyAt: number
  retryAt: number
  over: Over | undefined
  ends: Over[]
  promised: string[]
  promisesAsked: number
  /** It is with a thread: sent, running, or its outcome is not told yet. */
  isSent: boolean
  isExecuting: boolean
  executionEndsBy: number
  holdsKey: boolean
  lastEnd: string
  counted: number
  failures: number
  crashes: number
  cancelAsked: boolean
  /** And was told that it would be so. */
  isCancelled: boolean
  hasStarted: boolean
  /** Revived after its response was over: whoever did so wants it to run. */
  isExempt: boolean
  revivals: number
}

/** Slack for what is not exact by design: whole-millisecond times, the rhythm of the watch, the way of messages. */
export const TIMER_SLACK = 3
const WATCH_SLACK = 100

/** All that is known. */
export class Model {
  readonly jobs: ModelJob[] = []
  readonly pending = new Set<ModelJob>()
  readonly batches: ModelBatch[] = []
  readonly clock: VirtualClock
  readonly ageing: number
  readonly byRecord = new Map<JobRecord, ModelJob>()
  readonly byId = new Map<string, ModelJob>()
  readonly endedAs: Record<Over, number> = { completed: 0, cancelled: 0, skipped: 0, dead: 0, lost: 0 }
  readonly paused = new Set<string>()
  isPaused = false
  stopDeadline = Number.POSITIVE_INFINITY
  phase: 'running' | 'stopping' | 'stopped' = 'running'
  violation: string | undefined
  /** A listener is calling back: what happens now may come between things that belong together. */
  isReacting = false
  #places = 0

  constructor(clock: VirtualClock, ageing: number) {
    this.clock = clock
    this.ageing = ageing
  }

  /** The first violation is the one that counts. */
  violate(message: string): void {
    this.violation ??= `${message} (at ${this.clock.now().toFixed(2)} ms)`
  }

  expect(condition: boolean, message: () => string): void {
    if (!condition) this.violate(message())
  }

  /** Who holds a unique key now. */
  holderOf(uniqueKey: string): ModelJob | undefined {
    const now = this.clock.now()
    return this.jobs.findLast(
      (job) =>
        job.uniqueKey === uniqueKey &&
        (job.uniqueUntil === undefined ? job.over === undefined : now < job.uniqueUntil),
    )
  }

  /** A job was accepted. */
  accepted(
    id: string,
    record: JobRecord,
    { rules, spec, batch }: { rules: ModelJob['rules']; spec: Spec; batch: ModelBatch | undefined },
  ): void {
    const now = this.clock.now()
    const own = spec.unique ?? (rules.uniqueFor === undefined ? undefined : 'held')
    const uniqueFor = spec.unique === undefined ? rules.uniqueFor : spec.uniqueFor
    const uniqueKey = own === undefined ? undefined : `${rules.name}:${own}`
    this.expect(!this.byId.has(id), () => `${id} was accepted twice`)
    const holder = uniqueKey === undefined ? undefined : this.holderOf(uniqueKey)
    this.expect(holder === undefined, () => `${id} was accepted although ${holder?.id} holds ${uniqueKey}`)
    const job: ModelJob = {
      id,
      record,
      rules,
      key: spec.key ?? rules.key,
      uniqueKey,
      uniqueUntil: uniqueFor === undefined ? undefined : now + uniqueFor,
      priority: spec.priority ?? rules.priority,
      timeout: spec.timeout ?? rules.timeout,
      queueDeadline: now + (spec.queueTimeout ?? rules.queueTimeout),
      maxAttempts: spec.maxAttempts ?? rules.maxAttempts,
      when: spec.when ?? 'ok',
      delay: spec.delay,
      batch,
      isSequential: batch !== undefined && !(spec.parallel === undefined ? batch.isParallel : spec.parallel),
      waitsFor: undefined,
      dueAt: spec.delay === undefined && spec.runAt !== undefined ? now + Math.max(0, spec.runAt) : 0,
      runnableAt: undefined,
      place: 0,
      isPlaceKnown: true,
      readyAt: now,
      retryAt: 0,
      over: undefined,
      ends: [],
      promised: [],
      promisesAsked: 0,
      isSent: false,
      isExecuting: false,
      executionEndsBy: Number.POSITIVE_INFINITY,
      holdsKey: false,
      lastEnd: '',
      counted: 0,
      failures: 0,
      crashes: 0,
      cancelAsked: false,
      isCancelled: false,
      hasStarted: false,
      isExempt: false,
      revivals: 0,
    }
    this.jobs.push(job)
    this.pending.add(job)
    this.byRecord.set(record, job)
    this.byId.set(id, job)
    if (batch !== undefined && job.isSequential) {
      while (batch.chain.at(-1)?.over !== undefined) batch.chain.pop()
      job.waitsFor = batch.chain.at(-1)
      batch.chain.push(job)
    }
    batch?.jobs.push(job)
    if (!this.isHeld(job)) this.#released(job)
  }

  settles(batch: ModelBatch, end: ResponseEnd): void {
    batch.end = end
    for (const job of batch.jobs) if (job.over === undefined || this.isWanted(job)) this.#released(job)
  }

  /** Whether a job's response calls for it. */
  isWanted(job: ModelJob): boolean {
    return job.isExempt || this.isCalledFor(job)
  }

  /** The same, whoever revived it since. */
  isCalledFor(job: ModelJob): boolean {
    if (job.batch?.end === undefined || job.when === 'always') return true
    const { facts } = RESPONSES[job.batch.end]
    return (job.when === 'error') === (facts.statusCode >= 500 || facts.error !== undefined)
  }

  isHeld(job: ModelJob): boolean {
    return job.batch !== undefined && job.batch.end === undefined
  }

  /** Those of its key that have joined the line and are not over. */
  lineOf(key: string): ModelJob[] {
    const now = this.clock.now()
    const line: ModelJob[] = []
    for (const job of this.pending) {
      if (job.key === key && job.runnableAt !== undefined && job.runnableAt <= now) line.push(job)
    }
    return line
  }

  ended(job: ModelJob, how: Over): void {
    job.over = how
    job.ends.push(how)
    job.isSent = false
    job.holdsKey = false
    this.endedAs[how]++
    this.pending.delete(job)
    for (const other of job.batch?.jobs ?? []) {
      if (other.waitsFor === job) other.waitsFor = job.waitsFor
    }
    job.waitsFor = undefined
    for (const other of job.batch?.jobs ?? []) this.#runnable(other)
    if (job.key === undefined) return
    for (const other of this.pending) {
      if (other.key === job.key) other.readyAt = Math.max(other.readyAt, this.clock.now())
    }
  }

  revived(job: ModelJob): void {
    this.endedAs[job.over as Over]--
    job.over = undefined
    job.failures = 0
    job.crashes = 0
    job.revivals++
    job.isExempt = job.batch?.end !== undefined
    job.cancelAsked = false
    job.isCancelled = false
    job.retryAt = 0
    job.runnableAt = undefined
    this.pending.add(job)
    this.#runnable(job)
  }

  retries(job: ModelJob, delay: number): void {
    job.isSent = false
    job.counted++
    job.retryAt = this.clock.now() + delay
    job.readyAt = job.retryAt
  }

  /** From now on its handler may not run longer than it is given to end. */
  mustEnd(job: ModelJob): void {
    const patience = job.rules.killGrace * (job.rules.pool === 'io' ? 2 : 1)
    job.executionEndsBy = Math.min(job.executionEndsBy, this.clock.now() + patience + WATCH_SLACK)
  }

  executes(job: ModelJob): void {
    job.isExecuting = true
    job.hasStarted = true
    const grace = Math.max(job.rules.killGrace, KILL_GRACE) * (job.rules.pool === 'io' ? 2 : 1)
    job.executionEndsBy = this.clock.now() + job.timeout + grace + WATCH_SLACK
  }

  #released(job: ModelJob): void {
    if (job.delay !== undefined) job.dueAt = this.clock.now() + job.delay
    this.#runnable(job)
  }

  #runnable(job: ModelJob): void {
    if (job.over !== undefined || job.runnableAt !== undefined || this.isHeld(job)) return
    if (job.waitsFor !== undefined) return
    job.runnableAt = Math.max(this.clock.now(), job.dueAt)
    job.readyAt = job.runnableAt
    job.place = this.#places++
    job.isPlaceKnown = !this.isReacting
  }
}
