/**
 * The reference model: what is known of each job, from the plan, from the events, and from what the simulated threads
 * really do. It knows nothing of the broker; `checks` compares the two.
 */
import type { JobRecord } from '../../src/rules/job-record.ts'
import {
  type Accepted,
  type ModelBatch,
  type ModelCall,
  type ModelJob,
  newCall,
  newJob,
  type Over,
} from './model-job.ts'
import type { ResponseEnd, Spec } from './plan.ts'
import { RESPONSES } from './responses.ts'
import { KILL_GRACE } from './tasks.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Slack for what is not exact by design: whole-millisecond times, the rhythm of the watch, the way of messages. */
export const TIMER_SLACK = 3
const WATCH_SLACK = 100

/** What a call says that found a job. */
export interface Join {
  readonly batch: ModelBatch | undefined
  readonly spec: Spec
  readonly controller: AbortController | undefined
}

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
  readonly #early = new Map<string, Join[]>()
  /** Calls of batches whose response is about to be over that it has said nothing of yet. */
  readonly #undecided = new Map<ModelBatch, ModelCall[]>()

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

  /** Who holds a unique key now. One that ended without having run has let go of it. */
  holderOf(uniqueKey: string): ModelJob | undefined {
    const now = this.clock.now()
    return this.jobs.findLast(
      (job) =>
        job.uniqueKey === uniqueKey &&
        (job.over === undefined ||
          (job.uniqueUntil !== undefined && (job.over === 'completed' || job.triesAtEnd > 0))) &&
        (job.uniqueUntil === undefined || now < job.uniqueUntil),
    )
  }

  /** A job was accepted. */
  accepted(
    id: string,
    record: JobRecord,
    { rules, spec, batch, controller }: Omit<Accepted, 'now'> & { controller?: AbortController | undefined },
  ): void {
    const job = newJob(id, record, { rules, spec, batch, now: this.clock.now() })
    const { uniqueKey } = job
    const holder = uniqueKey === undefined ? undefined : this.holderOf(uniqueKey)
    this.expect(!this.byId.has(id), () => `${id} was accepted twice`)
    this.expect(holder === undefined, () => `${id} was accepted although ${holder?.id} holds ${uniqueKey}`)
    this.jobs.push(job)
    this.pending.add(job)
    this.byRecord.set(record, job)
    this.byId.set(id, job)
    batch?.jobs.push(job)
    this.#call(newCall(job, batch, spec, controller))
    for (const join of this.#early.get(id) ?? []) this.joined(job, join)
    this.#early.delete(id)
  }

  /** A call has found a job that is there. One that was taken back before asks for nothing. */
  joined(job: ModelJob, { batch, spec, controller }: Join): void {
    if (job.over !== undefined || controller?.signal.aborted === true) return
    const call = newCall(job, batch, spec, controller)
    const [first] = job.calls
    // Once it is on its way, those behind it in its own batch wait for it whatever its first caller does.
    if (first !== undefined && job.isAsked && job.calls.length === 1) first.isFixed = true
    const isSame = job.calls.some((other) => isSameCall(other, call))
    if (isSame) return
    // It runs whatever this call says, and has its place in the batch.
    const isCertain = job.calls.some(
      (other) => other.calledAt !== undefined && other.controller === undefined && !other.isTakenBack,
    )
    const isFirst = first?.batch === batch && first?.stands === true && first.isFixed
    // A job that was revived is past the place that it had.
    const isPlaced = !call.stands || (isFirst && first.revivals === job.revivals)
    if (job.isAsked && isCertain && isPlaced) return
    this.#shares(job, call)
    this.#call(call)
  }

  /** The same for a job that is yet to be announced. */
  joinsEarly(id: string, join: Join): void {
    this.#early.set(id, [...(this.#early.get(id) ?? []), join])
  }

  /** A response is over: what it says of one call after the other is heard until `settled`. */
  settles(batch: ModelBatch, end: ResponseEnd): void {
    batch.end = end
    this.#undecided.set(batch, [...batch.calls])
  }

  /** It has had its say. */
  settled(batch: ModelBatch): void {
    const calls = this.#undecided.get(batch) ?? []
    this.#undecided.delete(batch)
    this.#decideAll(batch, calls)
  }

  /**
   * A job ends unrun. If a response that is about to be over has refused the last call for it, a listener hears of that
   * when those before it in the batch have been decided, and those behind it have not.
   */
  endsUnrun(job: ModelJob): void {
    for (const [batch, calls] of this.#undecided) {
      const refused = new Set(calls.filter((call) => call.job === job && !isCalledFor(call)))
      if (refused.size === 0) continue
      if (!job.calls.every((call) => call.isTakenBack || refused.has(call))) continue
      const last = calls.findLastIndex((call) => refused.has(call))
      this.#decideAll(batch, calls.splice(0, last + 1))
    }
  }

  #decideAll(batch: ModelBatch, calls: readonly ModelCall[]): void {
    const wasReacting = this.isReacting
    this.isReacting ||= batch.calls.some((call) => !isCalledFor(call))
    for (const call of calls) this.#decide(call)
    this.look(batch)
    this.isReacting = wasReacting
  }

  /** A call does not ask any more: its signal has aborted, or its response does not call for the job. */
  takeBack(call: ModelCall): void {
    if (call.isTakenBack || call.job.over !== undefined) return
    call.isTakenBack = true
    // Nobody wants it: where it is with a thread already, it is cancelled there.
    if (call.wasDying || (this.isWanted(call.job) && !call.isFixed)) {
      call.isPassed = true
      this.#pass(call)
    } else call.job.cancelAsked = true
    if (call.batch !== undefined) this.look(call.batch)
  }

  /** Whether a job's calls leave it a chance to run. */
  isWanted(job: ModelJob): boolean {
    return job.isExempt || job.calls.some((call) => !call.isTakenBack)
  }

  /** Whether some call was refused by its response. */
  isRefused(job: ModelJob): boolean {
    return job.calls.some((call) => call.batch?.end !== undefined && !isCalledFor(call))
  }

  /** True when a job of one of its batches was revived: whether the broker keeps the order there, or it does, is not known. */
  isVague(job: ModelJob): boolean {
    return job.calls.some(({ batch }) => batch?.hasRevived === true)
  }

  isHeld(job: ModelJob): boolean {
    return !job.isAsked
  }

  /** Jobs of a batch whose turn has come. */
  look(batch: ModelBatch): void {
    for (const call of batch.calls) this.#ask(call)
  }

  #call(call: ModelCall): void {
    const { job, batch } = call
    job.calls.push(call)
    if (batch === undefined) call.calledAt = this.clock.now()
    else {
      if (call.stands) {
        const last = batch.calls.findLast(
          (other) => other.stands && !this.#isPassed(other) && other.job.revivals === other.revivals,
        )
        if (last !== undefined) for (const other of [last, ...last.behind]) call.behind.add(other)
      }
      batch.calls.push(call)
      if (batch.end !== undefined) this.#decide(call)
    }
    this.#ask(call)
  }

  /** A job is asked for by several: the batches in which it stands keep their order themselves. */
  #shares(job: ModelJob, call: ModelCall): void {
    for (const { batch, stands, revivals } of [...(job.isAsked ? [] : job.calls), call]) {
      if (batch !== undefined && stands && revivals === job.revivals) batch.isShared = true
    }
  }

  #decide(call: ModelCall): void {
    if (call.isTakenBack) return
    if (!isCalledFor(call)) return this.takeBack(call)
    call.calledAt ??= this.clock.now()
  }

  #ask(call: ModelCall): void {
    const { job } = call
    if (job.isAsked || job.over !== undefined || call.isTakenBack || call.calledAt === undefined) return
    const isNative = call.batch !== undefined && !call.batch.isShared
    if (call.behind.size > 0 && !isNative) return
    job.isAsked = true
    job.isNative = isNative && call === job.calls[0]
    if (job.delay !== undefined) job.dueAt = call.calledAt + job.delay
    this.#runnable(job)
  }

  #isPassed({ job, isPassed }: ModelCall): boolean {
    return job.over !== undefined || isPassed
  }

  /** Where a batch stops at a dead job, its calls behind that do not ask any more. */
  #stop(dead: ModelCall): void {
    for (const call of dead.batch?.stops === true ? dead.batch.calls : []) {
      const { calls, isNative } = call.job
      if (!call.behind.has(dead) || calls.length < 2) continue
      // The broker has it already, and lets it go ahead for the others, whatever these do later.
      const isLetGo = isNative && call === calls[0] && calls.some((one) => one !== call && !one.isTakenBack)
      if (!isLetGo) this.takeBack(call)
    }
  }

  /** Those behind it in its batch wait for it no more. */
  #pass(call: ModelCall): void {
    for (const other of call.batch?.calls ?? []) other.behind.delete(call)
  }

  /** A job before it in its batch is not over. One that its batch keeps is not asked for until then. */
  isBlocked(job: ModelJob): boolean {
    const [first] = job.calls
    return job.isNative && first !== undefined && first.behind.size > 0
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
    if (this.isVague(job)) return false
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
  ended(job: ModelJob, how: Over, tries: number): void {
    job.over = how
    job.triesAtEnd = tries
    job.ends.push(how)
    job.isSent = false
    job.holdsKey = false
    this.endedAs[how]++
    this.pending.delete(job)
    if (how === 'dead') for (const call of job.calls) this.#stop(call)
    for (const call of job.calls) this.#pass(call)
    for (const { batch } of job.calls) {
      if (batch === undefined) continue
      this.look(batch)
      for (const other of batch.jobs) this.#runnable(other)
    }
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
    const wasAsked = job.isAsked
    job.isExempt = job.isAsked || job.batch?.end !== undefined
    if (job.isExempt) job.isAsked = true
    // It starts over at once, wherever it stood; nor can a signal of old cancel it.
    for (const call of job.calls) {
      call.behind.clear()
      call.controller = undefined
      if (call.batch !== undefined) call.batch.hasRevived = true
    }
    job.cancelAsked = false
    job.isCancelled = false
    job.retryAt = 0
    job.runnableAt = undefined
    this.pending.add(job)
    const called = job.calls.find(({ calledAt }) => calledAt !== undefined)
    if (job.isExempt && !wasAsked && job.delay !== undefined && called?.calledAt !== undefined)
      job.dueAt = called.calledAt + job.delay
    for (const call of job.calls) this.#ask(call)
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

  #runnable(job: ModelJob): void {
    if (job.over !== undefined || job.runnableAt !== undefined || this.isHeld(job)) return
    if (this.isBlocked(job)) return
    job.runnableAt = Math.max(this.clock.now(), job.dueAt)
    job.readyAt = job.runnableAt
    job.place = this.#places++
    job.isPlaceKnown = !this.isReacting
  }
}

/** Whether a call's response, which is over, calls for the job. */
export function isCalledFor({ batch, when }: ModelCall): boolean {
  if (batch?.end === undefined || when === 'always') return true
  const { facts } = RESPONSES[batch.end]
  return (when === 'error') === (facts.statusCode >= 500 || facts.error !== undefined)
}

/** A call of the same batch that says the same changes nothing. */
function isSameCall(one: ModelCall, other: ModelCall): boolean {
  const isPlain = one.controller === undefined && other.controller === undefined
  if (!isPlain || one.revivals !== other.revivals || one.batch !== other.batch || one.isTakenBack)
    return false
  return one.batch === undefined || (one.when === other.when && one.stands === other.stands)
}
