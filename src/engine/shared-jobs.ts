/**
 * Unique jobs that several calls ask for. A duplicate joins the job that is there, and keeps a say of its own: the job
 * runs if any of its calls asks for it, as soon as the first does, and ends unrun only when the last was taken back.
 *
 * A call with a response asks once that is over, if the response calls for the job and what stands before it in its
 * batch is over. A call without a response asks at once. A call is taken back by its own response or its own signal.
 */
import type { BatchLink, JobExtras, JobRecord } from '../rules/job-record.ts'
import { memberOf } from '../words/describe.ts'
import { isTerminal, type JobOptions, type ResponseFacts, type When } from '../words/job.ts'
import { Batch, Place } from './batch.ts'
import type { SharedCall } from './batch-sequence.ts'
import { Signals } from './signals.ts'

/** What shared jobs need of the runtime. */
export interface SharedJobsOwner {
  release(job: JobRecord, since: number): void
  now(): number
  skip(job: JobRecord, reason: string): void
  cancel(job: JobRecord, reason: unknown): boolean
  /** The job waits for none of its batch any more. */
  detach(job: JobRecord): void
}

// What a job without a response is told that calls for it: its facts are only asked whether they are there.
const NO_RESPONSE: ResponseFacts = { statusCode: 200, outcome: 'sent', error: undefined, method: '', url: '' }

/** What a call says. */
interface Asked {
  readonly batch: Batch | null
  readonly when: When
  readonly signal: AbortSignal | undefined
  readonly stands: boolean
}

/** Why a call is taken back. */
type Back = { readonly skipped: string } | { readonly cancelled: unknown }

/** One call that asks for a shared job. */
export class Call implements SharedCall {
  readonly shared: SharedJob
  readonly batch: Batch | null
  readonly signal: AbortSignal | undefined
  /** It has a place in the order of its batch. */
  readonly stands: boolean
  when: When
  calledAt: number | undefined
  isTakenBack = false
  /** The job was over once; revived since, it is not waited for again. Or the call was taken back, and others were left. */
  hasEnded = false

  constructor(shared: SharedJob, { batch, when, signal, stands }: Asked) {
    this.shared = shared
    this.batch = batch
    this.when = when
    this.signal = signal
    this.stands = stands
  }

  get record(): JobRecord {
    return this.shared.record
  }

  get isOver(): boolean {
    return this.hasEnded || (this.isTakenBack && !this.shared.isEnding)
  }

  ask(): void {
    this.shared.ask(this)
  }

  refuse(reason: string): void {
    this.shared.takeBack(this, { skipped: reason })
  }
}

/** A job and the calls that ask for it. */
export class SharedJob implements BatchLink {
  readonly record: JobRecord
  /** Null until the first call asks for the job. */
  facts: ResponseFacts | null
  readonly #owner: SharedJobsOwner
  readonly #signals: Signals<JobRecord | Call>
  readonly #calls = new Set<Call>()
  /** A call asked that cannot be taken back. */
  #isCertain = false
  /** The call of a batch that stops at a dead job, when the broker had the job before it was shared. */
  #stops: Call | undefined
  /** Batches in which the job stands as one of their own. */
  readonly #told = new Set<{ passed(job: JobRecord): void }>()
  /** Nobody asks for it any more: it is being ended. */
  isEnding = false
  #isClosed = false
  #reason: unknown

  constructor(record: JobRecord, owner: SharedJobsOwner, signals: Signals<JobRecord | Call>) {
    this.record = record
    this.facts = record.state === 'held' ? null : NO_RESPONSE
    this.#owner = owner
    this.#signals = signals
  }

  /** The batch that let the job go stops it, unless another call asks for it. */
  get onFailure(): 'continue' | 'stop' {
    if (this.#stops === undefined) return 'continue'
    for (const call of this.#calls) if (call !== this.#stops) return 'continue'
    return 'stop'
  }

  /** The job was let go for this call, by a batch that may stop. */
  letGoFor(call: Call, onFailure: 'continue' | 'stop' | undefined): void {
    if (onFailure === 'stop') this.#stops = call
    this.ask(call)
  }

  add(asked: Asked): Call {
    const call = new Call(this, asked)
    this.#calls.add(call)
    if (asked.signal !== undefined) this.#signals.follow(asked.signal, call)
    return call
  }

  /** The first call is taken back, unless the job runs for it already. */
  takeBackFirst(reason: unknown): void {
    const [first] = this.#calls
    if (first !== undefined && first.batch !== null) this.takeBack(first, { cancelled: reason })
  }

  /** True when a call that is there says the same. */
  has({ batch, when, signal, stands }: Asked): boolean {
    if (signal !== undefined) return false
    for (const call of this.#calls) {
      if (call.batch !== batch || call.signal !== undefined || call.stands !== stands) continue
      if (call.when === when && call.calledAt === undefined) return true
    }
    return false
  }

  ask(call: Call): void {
    if (call.isTakenBack || this.#isOver) return
    if (call.signal === undefined) {
      this.#isCertain = true
      if (call !== this.#stops) this.#stops = undefined
    }
    if (this.facts !== null) return
    this.facts = call.batch?.facts ?? NO_RESPONSE
    this.#owner.release(this.record, call.calledAt ?? this.#owner.now())
    this.#letGoOfDead()
  }

  /** True when no further call without a place in a batch can change what becomes of the job. */
  get isSettledOn(): boolean {
    return this.#isCertain && this.facts !== null
  }

  /** A call does not ask any more. The last to do so ends the job. */
  takeBack(call: Call, back: Back): void {
    if (call.isTakenBack || this.#isOver) return
    call.isTakenBack = true
    this.#calls.delete(call)
    if (call.signal !== undefined) this.#signals.forget(call.signal, call)
    if ('cancelled' in back) this.#reason = back.cancelled
    if (this.#calls.size === 0 && !this.#isCertain && !this.isEnding) {
      // Those behind it in its batch wait for that end.
      if (call.batch !== null) this.#told.add(call.batch)
      this.#end(back)
    } else call.hasEnded = true
    call.batch?.passed()
  }

  ended(job: JobRecord): void {
    const calls = [...this.#calls]
    this.isEnding = false
    for (const call of calls) {
      call.hasEnded = true
      if (call.signal !== undefined) this.#signals.forget(call.signal, call)
    }
    // A job that died before it was asked for may be revived, and is held again.
    if (isTerminal(job.state) && (job.state !== 'dead' || this.facts !== null)) this.#close()
    for (const batch of this.#told) batch.passed(job)
    this.#told.clear()
    for (const call of calls) call.batch?.passed(job)
  }

  tell(batch: { passed(job: JobRecord): void }): void {
    this.#told.add(batch)
  }

  revived(): void {
    if (this.facts === null)
      for (const call of [...this.#calls])
        if (call.calledAt !== undefined || call.batch === null) this.ask(call)
  }

  /** A dead job may be revived: until a call has asked for it, its responses still decide whether it is held then. */
  get #isOver(): boolean {
    if (this.#isClosed) return true
    return isTerminal(this.record.state) && (this.record.state !== 'dead' || this.facts !== null)
  }

  /** No response holds a dead job any more, should it be revived. */
  #letGoOfDead(): void {
    if (this.record.state !== 'dead') return
    this.record.batch = null
    this.#close()
  }

  /** Revived, the job is no longer shared: its calls have had what they asked for. */
  #close(): void {
    this.#isClosed = true
    this.#calls.clear()
  }

  #end(back: Back): void {
    this.isEnding = true
    if ('skipped' in back && this.facts === null) {
      this.#owner.skip(this.record, back.skipped)
      this.#letGoOfDead()
    } else this.#owner.cancel(this.record, this.#reason)
  }
}

/** Lets duplicates join the jobs that they equal. */
export class SharedJobs {
  readonly #owner: SharedJobsOwner
  /** Who is to hear of a signal: a job with one call, or one call of several. */
  readonly signals: Signals<JobRecord | Call>

  constructor(owner: SharedJobsOwner) {
    this.#owner = owner
    this.signals = new Signals((follower, reason) => {
      if (follower instanceof Call) follower.shared.takeBack(follower, { cancelled: reason })
      else owner.cancel(follower, reason)
    })
  }

  /** A call has found the job instead of adding one. */
  join(job: JobRecord, batch: Batch | null, options: JobOptions | undefined): void {
    const signal = options?.signal
    // A call that is taken back already asks for nothing.
    if (isTerminal(job.state) || memberOf(signal, 'aborted') === true) return
    const when = options?.when ?? job.entry.task.policy.when
    const asked = { batch, when, signal, stands: batch?.isSequential(options?.order) === true }
    if (!matters(job, asked)) return
    const { shared, decide } = job.batch instanceof SharedJob ? { shared: job.batch } : this.#share(job)
    const call = shared.add(asked)
    decide?.()
    if (batch === null) call.ask()
    else batch.join(call, asked.stands)
  }

  /** The signal of a job's first call can cancel it. */
  follow(job: JobRecord, signal: AbortSignal): void {
    job.more.signal = signal
    this.signals.follow(signal, job)
  }

  /** The signal of the first call had aborted before. */
  abort(job: JobRecord, reason: unknown): void {
    if (job.batch instanceof SharedJob) job.batch.takeBackFirst(reason)
    else this.#owner.cancel(job, reason)
  }

  /** The job is over: no signal can cancel it. */
  over(job: JobRecord, extras: JobExtras): void {
    const { signal } = extras
    if (signal === undefined) return
    extras.signal = undefined
    this.signals.forget(signal, job)
  }

  /** The first call becomes one of several. `decide` says what its response says of it, if that is over and has said nothing yet. */
  #share(job: JobRecord): { shared: SharedJob; decide?: () => void } {
    const { batch: home } = job
    const shared = new SharedJob(job, this.#owner, this.signals)
    const signal = job.extras?.signal
    if (signal !== undefined) this.signals.forget(signal, job)
    const when = whenOf(job)
    const { more } = job
    const { reason } = more
    more.signal = undefined
    more.when = undefined
    if (job.state !== 'held') {
      job.batch = shared
      if (home instanceof Place) shared.tell(home.batch)
      shared.letGoFor(shared.add({ batch: null, when, signal, stands: false }), home?.onFailure)
      return { shared }
    }
    if (!(home instanceof Batch || home instanceof Place)) {
      job.batch = shared
      return { shared }
    }
    const batch = home instanceof Batch ? home : home.batch
    const call = shared.add({ batch, when, signal, stands: false })
    call.hasEnded = job.extras?.isRevived === true
    batch.replace(job, call)
    job.batch = shared
    this.#owner.detach(job)
    // Once the other call is there, which may be all that is left of the job.
    if (reason === undefined) return { shared, decide: () => batch.decide(call) }
    more.reason = undefined
    return { shared, decide: () => call.refuse(reason) }
  }
}

/** Whether a call changes anything for a job that is there already. */
function matters(job: JobRecord, asked: Asked): boolean {
  const { batch: home, extras } = job
  const { batch, when, signal, stands } = asked
  // Within a batch, it mostly says what the first call has said.
  const own = home instanceof Place ? home.batch : home
  const isFirst = own === batch && signal === undefined && extras?.signal === undefined
  const hasPlace = batch?.has(job) === true
  if (isFirst && batch !== null && hasPlace === stands && when === whenOf(job)) return false
  if (home instanceof SharedJob && home.has(asked)) return false
  // It runs whatever this call says, and those that come now wait for it as it is.
  const runs = job.state !== 'held' && extras?.signal === undefined
  const isCertain = home instanceof SharedJob ? home.isSettledOn : runs
  return !(isCertain && (hasPlace || !stands))
}

function whenOf(job: JobRecord): When {
  return job.extras?.when ?? job.entry.task.policy.when
}
