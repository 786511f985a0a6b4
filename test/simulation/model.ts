/**
 * The reference model: what is known of each job, from the plan, from the events, and from what the simulated threads
 * really do. It knows nothing of the broker; `checks` compares the two.
 */
import type { JobRecord } from '../../src/rules/job-record.ts'
import { type Accepted, type ModelBatch, type ModelJob, newJob, type Over } from './model-job.ts'
import type { ResponseEnd } from './plan.ts'
import { RESPONSES } from './responses.ts'
import { KILL_GRACE } from './tasks.ts'
import type { VirtualClock } from './virtual-clock.ts'

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
  /** Whether the job's task keeps ending threads and has to wait. */
  isShut: (job: ModelJob) => boolean = () => false
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
  accepted(id: string, record: JobRecord, { rules, spec, batch }: Omit<Accepted, 'now'>): void {
    const job = newJob(id, record, { rules, spec, batch, now: this.clock.now() })
    const { uniqueKey } = job
    const holder = uniqueKey === undefined ? undefined : this.holderOf(uniqueKey)
    this.expect(!this.byId.has(id), () => `${id} was accepted twice`)
    this.expect(holder === undefined, () => `${id} was accepted although ${holder?.id} holds ${uniqueKey}`)
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
    const wasReacting = this.isReacting
    this.isReacting ||= batch.jobs.some((job) => !this.isCalledFor(job))
    for (const job of batch.jobs) if (job.over === undefined || this.isWanted(job)) this.#released(job)
    this.isReacting = wasReacting
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

  /** It waits for a thread and for nothing else, and has for a while. */
  surelyWaits(job: ModelJob): boolean {
    const now = this.clock.now()
    if (job.isSent || job.over !== undefined || job.runnableAt === undefined) return false
    if (!this.isWanted(job) || Math.max(job.readyAt, job.retryAt) > now - TIMER_SLACK) return false
    if (job.key !== undefined && this.lineOf(job.key).length > 1) return false
    if (this.isShut(job)) return false
    return this.#sentOf(job) < job.rules.concurrency
  }

  #sentOf(job: ModelJob): number {
    if (job.rules.concurrency === Number.POSITIVE_INFINITY) return 0
    let sent = 0
    for (const other of this.pending) if (other.rules === job.rules && other.isSent) sent++
    return sent
  }

  /** A job is over. */
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

  /** It has not run longer than its limits and the patience with it allow. */
  endsInTime(job: ModelJob): void {
    const late = this.clock.now() - job.executionEndsBy
    this.expect(late <= 0, () => `${job.id} ran ${late.toFixed(1)} ms longer than it may`)
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
