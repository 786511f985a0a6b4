/** A batch: the jobs that one HTTP request added, and what becomes of them when its response is over. */

import { type BatchLink, type JobContext, JobRecord } from '../rules/job-record.ts'
import { BATCH_FAILED } from '../rules/journal-protocol.ts'

import type { AnyTask } from '../rules/task.ts'
import { isTerminal, type JobOptions, type ResponseFacts } from '../words/job.ts'
import { unlessFull } from './acceptance.ts'
import { isOver, isPassed, type Member, mayWaitFor, Sequence, type SharedCall } from './batch-sequence.ts'
import { Job, type JobOwner } from './job.ts'
import { whyNot } from './when.ts'

/** Takes the jobs of a batch in. */
export interface BatchIntake {
  take(call: {
    readonly door: 'request'
    readonly task: string | AnyTask
    readonly payload: unknown
    readonly options: JobOptions | undefined
    readonly batch: Batch
  }): JobRecord
}

/** What a batch needs of the runtime. */
export interface BatchOwner {
  /** What the handles of jobs ask, and what is asked of jobs that others have as well. */
  readonly jobs: JobOwner & {
    /** The job is dead, and can still be found. */
    mayBeRevived(job: JobRecord): boolean
  }
  /** The job may run; a delay counts from `since`. */
  release(job: JobRecord, since: number): void
  now(): number
  skip(job: JobRecord, reason: string): void
  /** Calls back after `handlerGrace`; returns the call that takes it back. */
  afterGrace(callback: () => void): () => void
}

/** How the jobs of a batch relate to each other. */
export interface BatchOptions {
  readonly order: 'sequential' | 'parallel'
  readonly onFailure: 'continue' | 'stop'
}

// Below so many that are over it is not worth the walk.
const FEW = 64

/** The jobs of one request. Made with the first of them; `settle` is called once, by whoever watches the response. */
export class Batch implements BatchLink {
  facts: ResponseFacts | null = null
  readonly #intake: BatchIntake
  readonly #owner: BatchOwner
  readonly #options: BatchOptions
  /** Who waits for the response. Most batches have one job and need no array. */
  #held: Member | Member[] | null = null
  /** The jobs that go one after the other, down to the last that is not over; one alone, as above. */
  #chain: JobRecord | JobRecord[] | null = null
  /** Those jobs, once a job is among them that other calls ask for as well. */
  #sequence: Sequence | undefined
  /** Jobs that ended while they were held. */
  #ended = 0
  #isSkipping = false
  /** The context that travels with the jobs. */
  readonly context: JobContext | undefined

  constructor(
    intake: BatchIntake,
    owner: BatchOwner,
    options: BatchOptions,
    context: JobContext | undefined,
  ) {
    this.#intake = intake
    this.#owner = owner
    this.#options = options
    this.context = context
  }

  get onFailure(): 'continue' | 'stop' {
    return this.#options.onFailure
  }

  /** Adds a job, which starts once the response is over. Throws the same typed errors as `enqueue`. */
  add(task: string | AnyTask, payload: unknown, options?: JobOptions): Job {
    const record = this.#intake.take({ door: 'request', task, payload, options, batch: this })
    return new Job(record, this.#owner.jobs)
  }

  /** As `add`, but null when the queue is full. */
  tryAdd(task: string | AnyTask, payload: unknown, options?: JobOptions): Job | null {
    return unlessFull(() => this.add(task, payload, options))
  }

  /** Whether a call waits for those before it in the batch. */
  isSequential(order: JobOptions['order']): boolean {
    return (order ?? this.#options.order) === 'sequential'
  }

  /**
   * Takes a new job in. Returns the job that it waits for, when there is one. A job that the response, which is over, does
   * not call for has the reason in its record. It is held until it has been announced, so that it cannot start meanwhile.
   */
  admit(job: JobRecord, order: JobOptions['order']): JobRecord | null {
    if (this.context !== undefined) job.more.context = this.context
    const after = this.#link(job, order)
    if (this.facts === null) return after
    const refusal = this.#refusal(job, this.facts)
    if (refusal !== null) {
      job.more.reason = refusal
      job.batch = new Place(this)
    }
    if (job.extras !== null) job.extras.when = undefined
    return after
  }

  #link(job: JobRecord, order: JobOptions['order']): JobRecord | null {
    const isSequential = this.isSequential(order)
    const isHeld = this.facts === null
    if (isHeld) this.#held = joined(this.#held, job)
    job.batch = isHeld ? this : settledLink(this)
    if (!isSequential) return null
    if (this.#sequence !== undefined) {
      job.batch = new Place(this)
      return this.#sequence.add(job)
    }
    if (this.#chain === null) {
      this.#chain = job
      return null
    }
    if (!Array.isArray(this.#chain)) this.#chain = [this.#chain]
    const chain = this.#chain
    // One that is over, cancelled perhaps, does not end the wait for those before it.
    let before = chain.at(-1)
    while (before !== undefined && !mayWaitFor(before)) {
      chain.pop()
      before = chain.at(-1)
    }
    chain.push(job)
    return before ?? null
  }

  /** The response is over: every job that its end calls for is released, the others are skipped. */
  settle(facts: ResponseFacts): void {
    if (this.facts !== null) return
    this.facts = facts
    const held = this.#held
    this.#held = null
    for (const member of Array.isArray(held) ? held : held === null ? [] : [held]) {
      this.#let(member)
      this.#goOn()
    }
  }

  /** Settles it with the facts as they are after `handlerGrace`; returns the call that takes it back. */
  giveGrace(facts: () => ResponseFacts): () => void {
    return this.#owner.afterGrace(() => this.settle(facts()))
  }

  /** Why a job does not run after the response as it ended; null when it does. */
  #refusal(job: JobRecord, facts: ResponseFacts): string | null {
    return whyNot(job.extras?.when ?? job.entry.task.policy.when, facts)
  }

  /** A job that came after the response has been announced. `isCalled`: the response calls for it. */
  announced(job: JobRecord, isCalled: boolean): void {
    if (!isCalled) {
      // Unless a listener has asked for it meanwhile.
      if (job.state === 'held' && job.extras?.reason !== undefined) this.#owner.skip(job, job.extras.reason)
    } else if (this.#sequence !== undefined) {
      if (this.facts !== null && job.batch instanceof Place) job.more.calledAt = this.#owner.now()
      this.#goOn()
    }
  }

  // ── Jobs that other calls ask for as well ──────────────────────────────────────────────────────────────────────

  /** True when a job stands in the order of this batch as one of its own. */
  has(job: JobRecord): boolean {
    // One that was revived is past its place.
    if (job.extras?.isRevived === true) return false
    if (this.#sequence !== undefined) return this.#sequence.has(job)
    return Array.isArray(this.#chain) ? this.#chain.includes(job) : this.#chain === job
  }

  /** A duplicate joins a job on behalf of this batch; `stands`: those behind it wait for the job, and it for those before. */
  join(call: SharedCall, stands: boolean): void {
    if (stands) this.#ordered().add(call)
    if (this.facts === null) this.#held = joined(this.#held, call)
    else {
      this.#let(call)
      this.#goOn()
    }
  }

  /** A job of this batch is asked for by others, too: this batch's own call takes its place. */
  replace(job: JobRecord, call: SharedCall): void {
    if (this.has(job)) this.#ordered().replace(job, call)
    if (this.facts === null) this.#held = replaced(this.#held, job, call)
    else call.calledAt = job.extras?.calledAt
  }

  /** The call that took a job's place asks as that did, if the response was about to be over. */
  decide(call: SharedCall): void {
    if (this.facts === null || call.calledAt !== undefined) return
    this.#let(call)
    this.#goOn()
  }

  /** A shared job is over (when given), or a call of this batch was taken back. */
  passed(job?: JobRecord): void {
    if (job !== undefined) this.#hasEnded(job)
    this.#goOn()
  }

  // ── Ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A job has ended before its response, or in a batch that keeps its order itself. Nothing of it is kept. */
  ended(job: JobRecord): void {
    const held = this.#held
    const { length } = Array.isArray(held) ? held : [held]
    if (++this.#ended >= length || (this.#ended > FEW && this.#ended * 2 > length)) this.#compact()
    this.#hasEnded(job)
    this.#goOn()
  }

  #compact(): void {
    this.#held = this.#held === null ? null : [this.#held].flat().filter((member) => this.#isAwaited(member))
    this.#chain = this.#chain === null ? null : [this.#chain].flat().filter((job) => !isOver(job))
    this.#ended = 0
  }

  /** Whether the response still matters: a dead job that is revived before it is over is held again. */
  #isAwaited(member: Member): boolean {
    if (!isOver(member)) return true
    if (member instanceof JobRecord) return this.#owner.jobs.mayBeRevived(member)
    const { isTakenBack, record } = member
    return !isTakenBack && (!isTerminal(record.state) || this.#owner.jobs.mayBeRevived(record))
  }

  /** Where one job is dead and the batch stops at that, those behind it are skipped. */
  #hasEnded(job: JobRecord): void {
    if (this.#sequence === undefined || this.#options.onFailure !== 'stop' || job.state !== 'dead') return
    // Nobody may go in between because the one before was skipped.
    this.#isSkipping = true
    for (const member of this.#sequence.behind(job)) {
      if (member instanceof JobRecord) {
        // Those that the broker has already keep this rule there.
        if (member.state === 'held') this.#owner.skip(member, BATCH_FAILED)
      } else member.refuse(BATCH_FAILED)
    }
    this.#isSkipping = false
  }

  /** Those whose turn it is may go. */
  #goOn(): void {
    if (this.facts === null || this.#isSkipping) return
    const member = this.#sequence?.first()
    if (member === undefined) return
    if (!(member instanceof JobRecord)) {
      if (member.calledAt !== undefined) member.ask()
    } else if (member.state === 'held' && member.extras?.calledAt !== undefined) {
      this.#release(member, member.extras.calledAt)
    }
  }

  /** Keeps the order itself from now on: the broker knows only the jobs of one batch. */
  #ordered(): Sequence {
    if (this.#sequence !== undefined) return this.#sequence
    const chain = this.#chain === null ? [] : [this.#chain].flat()
    this.#chain = null
    const open = chain.filter((job) => !isOver(job)).map((job) => this.#owner.jobs.current(job))
    for (const job of open) {
      if (job.batch?.tell !== undefined) {
        job.batch.tell(this)
        continue
      }
      const place = new Place(this)
      if (job.state !== 'held') place.facts = this.facts
      job.batch = place
    }
    this.#sequence = new Sequence(open)
    return this.#sequence
  }

  /** Lets one that was held go: to the threads, or nowhere. */
  #let(member: Member): void {
    const facts = this.facts as ResponseFacts
    if (!(member instanceof JobRecord)) {
      if (member.isTakenBack) return
      const refusal = whyNot(member.when, facts)
      member.when = 'always'
      if (refusal !== null) return member.refuse(refusal)
      member.calledAt = this.#owner.now()
      if (this.#sequence?.has(member) !== true || isPassed(member)) member.ask()
      return
    }
    // Its call stands here in its place.
    if (member.batch !== this && !(member.batch instanceof Place)) return
    // Whoever is over is not asked for, but a dead job may be revived, and then no response holds it.
    if (isTerminal(member.state) && member.state !== 'dead') return
    const refusal = this.#refusal(member, facts)
    if (member.extras !== null) member.extras.when = undefined
    if (refusal !== null) {
      if (member.state === 'dead') member.batch = settledLink(this)
      this.#owner.skip(member, refusal)
    } else if (this.#sequence?.has(member) === true && !isPassed(member))
      member.more.calledAt = this.#owner.now()
    else this.#release(member, this.#owner.now())
  }

  /** A job that was revived is past its place here. */
  release(job: JobRecord): void {
    this.#release(job, this.#owner.now())
  }

  #release(job: JobRecord, since: number): void {
    // A dead job is kept for long, and must not keep what else there was in its batch.
    if (job.batch instanceof Place && job.state !== 'dead') job.batch.facts = this.facts
    else job.batch = settledLink(this)
    this.#owner.release(job, since)
  }
}

/** The place of a job in a batch that keeps its order itself. */
export class Place implements BatchLink {
  readonly batch: Batch
  /** Null until it is the job's turn. */
  facts: ResponseFacts | null = null

  constructor(batch: Batch) {
    this.batch = batch
  }

  get onFailure(): 'continue' | 'stop' {
    return this.batch.onFailure
  }

  ended(job: JobRecord): void {
    // Revived later, it runs at once; a listener may have done so already.
    if (this.batch.facts !== null) this.facts = this.batch.facts
    const { calledAt, delay } = job.extras ?? {}
    if (calledAt !== undefined && delay !== undefined) job.more.dueAt = calledAt + delay
    this.batch.ended(job)
    if (this.facts !== null && job.state === 'held') this.batch.release(job)
  }
}

// What remains of a batch in its jobs once the response is over: they may outlive it by far.
const ANY_FACTS: ResponseFacts = { statusCode: 200, outcome: 'sent', error: undefined, method: '', url: '' }
const SETTLED: Readonly<Record<'continue' | 'stop', BatchLink>> = {
  continue: { onFailure: 'continue', facts: ANY_FACTS },
  stop: { onFailure: 'stop', facts: ANY_FACTS },
}

function settledLink({ onFailure }: Batch): BatchLink {
  return SETTLED[onFailure]
}

function joined(members: Member | Member[] | null, member: Member): Member | Member[] {
  if (members === null) return member
  if (!Array.isArray(members)) return [members, member]
  members.push(member)
  return members
}

/** Keeps the place: in the line of a key, too, jobs stand in the order in which their batch lets them go. */
function replaced(members: Member | Member[] | null, job: JobRecord, member: Member): Member | Member[] {
  if (members === job) return member
  const at = Array.isArray(members) ? members.indexOf(job) : -1
  if (at < 0) return joined(members, member)
  const list = members as Member[]
  list[at] = member
  return list
}
