/** The rules of a broker that survives: at each event, at what threads do, and against what is really in the file. */
import { isTerminal } from '../../../src/words/job.ts'
import type { Over } from '../model-job.ts'
import type { HandlerEnd } from '../sim-thread.ts'
import { type DurableJob, type DurableModel, hasEndedUnrun } from './durable-model.ts'
import type { StoredJob } from './journal-files.ts'

const CRASH_CODES = new Set(['ERR_THREAD_EXITED', 'ERR_OUT_OF_MEMORY', 'ERR_PROCESS_EXITED'])
/** Whole-millisecond times, coarse timers. */
const TIMER_SLACK = 3
/** A job may be on its way from the journal when its time runs out. */
const JOURNAL_SLACK = 150

/** What the checks look at besides the model. */
export interface Evidence {
  /** A job as it is committed at this moment. */
  readonly stored: (id: string) => StoredJob | undefined
  /** False when no file is open that could be read. */
  readonly canLook: () => boolean
  /** Finished jobs may have been let go of. */
  readonly forgets: boolean
}

/** Holds what happens against what should. */
export class DurableChecks {
  readonly #model: DurableModel
  readonly #evidence: Evidence

  constructor(model: DurableModel, evidence: Evidence) {
    this.#model = model
    this.#evidence = evidence
  }

  // ── What the runtime says ──────────────────────────────────────────────────────────────────────────────────────

  /** `stored` of a job has resolved. */
  wasStored(job: DurableJob): void {
    job.isStored = true
    if (!this.#evidence.canLook() || this.#evidence.forgets) return
    const row = this.#evidence.stored(job.id)
    this.#model.expect(row !== undefined, () => `stored of ${job.id} has resolved, and it is not in the file`)
  }

  /** A job's terminal event. */
  ended(id: string, how: Over, error: Error | undefined): void {
    const model = this.#model
    const job = model.byId.get(id)
    if (job === undefined) return model.violate(`${id}, which was never accepted, is ${how}`)
    if (job.over !== undefined) return model.violate(`${id} is ${how} although it was ${job.over} before`)
    // The second of two equal jobs ends as the first does, and never runs.
    if (job.mayBeDuplicate && !job.hasBeenSent) this.#isWritten(job, how)
    else if (how === 'completed')
      model.expect(job.lastEnd === 'returned', () => `${id} completed although its handler ${job.lastEnd}`)
    else if (how === 'cancelled')
      model.expect(job.cancelAsked, () => `${id} is cancelled and nobody asked for it`)
    else if (how === 'skipped') this.#skippedRightly(job)
    else if (how === 'dead') this.#diedRightly(job, error)
    else this.#lostRightly(job)
    this.#isWritten(job, how)
    model.ended(job, how)
  }

  /** An attempt failed and there will be another. */
  retrying(id: string, error: Error, delay: number): void {
    const model = this.#model
    const job = model.byId.get(id)
    if (job === undefined || job.over !== undefined)
      return model.violate(`${id}, which is over, is to be retried`)
    this.#count(job, error)
    model.expect(!job.isCancelled, () => `${id} was cancelled and is retried`)
    model.expect(job.failures < job.maxAttempts, () => `${id} is retried after ${job.failures} failures`)
    model.expect(job.crashes < job.rules.maxCrashes, () => `${id} is retried after ${job.crashes} crashes`)
    job.isSent = false
    job.counted++
    job.retryAt = model.time() + delay
  }

  interrupted(id: string): void {
    const job = this.#model.byId.get(id)
    if (job === undefined || job.over !== undefined)
      return this.#model.violate(`${id}, which is over, is interrupted`)
    job.isSent = false
  }

  /** A schedule has added a job for a time that it had none for. */
  ranOnce(id: string, uniqueKey: string): void {
    // One that was cancelled before it ran may be made up for by a process that has not heard that it was added.
    const other = this.#model.jobs.find(
      (job) => job.uniqueKey === uniqueKey && job.over !== 'gone' && !hasEndedUnrun(job),
    )
    this.#model.expect(other === undefined, () => `${id} and ${other?.id} are the same run, "${uniqueKey}"`)
  }

  /** How a job ended without anybody being told, since the process that wrote it was gone too soon. */
  endedUntold(job: DurableJob, state: Over, attempts: number): void {
    const { id, isCharged, isBack } = job
    const isKnown = job.ending === state || (isBack && state === 'dead') || (state === 'dead' && isCharged)
    const isTwin = job.mayBeDuplicate && !job.hasBeenSent
    const isSkip = isTwin || (state === 'skipped' && this.#isBatchStopped(job))
    this.#model.expect(isKnown || isSkip, () => `${id} is ${state} in the file, and nobody said so`)
    job.counted = attempts
    this.#model.ended(job, state)
  }

  #isWritten(job: DurableJob, how: Over): void {
    const row = this.#evidence.stored(job.id)
    job.isUnwritten = row === undefined && !job.isStored && (this.#model.isStopping || this.#model.mayRefuse)
    if (!this.#evidence.canLook() || how === 'lost' || this.#model.mayLoseStored) return
    const isRight = row === undefined ? this.#evidence.forgets || job.isUnwritten : row.state === how
    this.#model.expect(
      isRight,
      () => `${job.id} is told to be ${how}, and in the file it is ${row?.state ?? 'not there'}`,
    )
  }

  #lostRightly({ id, isStored }: DurableJob): void {
    const { isStopping, mayRefuse, mayLoseStored } = this.#model
    const isRight = isStored ? mayLoseStored : isStopping || mayRefuse
    this.#model.expect(isRight, () => `${id} is lost`)
  }

  #skippedRightly(job: DurableJob): void {
    const isRight = !this.#model.isCalledFor(job) || this.#isBatchStopped(job) || job.mayBeDuplicate
    this.#model.expect(isRight, () => `${job.id} was skipped for no reason`)
  }

  #isBatchStopped(job: DurableJob): boolean {
    return [job, ...job.joined].some(
      ({ batch }) =>
        batch?.stops === true &&
        [...batch.jobs, ...batch.found].some(
          ({ over, ending, revivals, isCharged }) =>
            over === 'dead' || ending === 'dead' || revivals > 0 || isCharged,
        ),
    )
  }

  #diedRightly(job: DurableJob, error: Error | undefined): void {
    const model = this.#model
    const { id, rules } = job
    const code = codeOf(error)
    model.expect(!job.isCancelled, () => `${id} was cancelled and is dead (${code})`)
    if (code === 'ERR_QUEUE_TIMEOUT') {
      const isDue = model.isAdrift || model.time() >= job.queueDeadline - TIMER_SLACK
      return model.expect(
        isDue && job.counted === 0,
        () => `${id} is dead of a queueTimeout that has not passed`,
      )
    }
    if (code === 'ERR_PROCESS_EXITED') {
      model.expect(job.isCharged, () => `${id} is dead of a crash of its process, and it did not run then`)
    } else {
      this.#count(job, error)
      job.counted++
    }
    if (CRASH_CODES.has(code)) {
      const isFinal = rules.onCrash === 'fail' || job.crashes >= rules.maxCrashes
      model.expect(isFinal, () => `${id} is dead after ${job.crashes} crashes`)
    } else if (code !== 'ERR_UNRECOVERABLE') {
      model.expect(
        job.failures >= job.maxAttempts,
        () => `${id} is dead after ${job.failures} failures (${code})`,
      )
    }
  }

  #count(job: DurableJob, error: Error | undefined): void {
    if (CRASH_CODES.has(codeOf(error))) job.crashes++
    else job.failures++
  }

  // ── What threads do ────────────────────────────────────────────────────────────────────────────────────────────

  /** Jobs were sent to a thread in one message. */
  sent(jobs: readonly DurableJob[]): void {
    for (const job of jobs) {
      this.#maySend(job)
      if (job.isSuspect) this.#maySendSuspect(job, jobs.length)
      job.isSent = true
      job.hasBeenSent = true
    }
  }

  handlerStarts(job: DurableJob, attempt: number): void {
    const model = this.#model
    const { id } = job
    // The second of two equal jobs has the attempts of the first.
    if (job.mayBeDuplicate) job.counted = attempt - 1
    model.expect(job.over === undefined, () => `${id} started although it is ${job.over}`)
    model.expect(job.ending === undefined, () => `${id} started although it is about to be ${job.ending}`)
    model.expect(!job.isExecuting, () => `${id} runs twice at once`)
    model.expect(!job.isCancelled, () => `${id} started although it was cancelled`)
    model.expect(
      attempt === job.counted + 1,
      () => `${id} is told attempt ${attempt}, not ${job.counted + 1}`,
    )
    let ofTask = 1
    for (const other of model.pending) {
      if (!other.isExecuting || other === job) continue
      if (other.rules === job.rules) ofTask++
      const isSameKey = job.key !== undefined && other.key === job.key
      model.expect(!isSameKey, () => `${id} and ${other.id} run at once, key ${job.key}`)
    }
    model.expect(ofTask <= job.rules.concurrency, () => `${ofTask} jobs of "${job.rules.name}" run at once`)
    job.isExecuting = true
    job.starts++
  }

  handlerStops(job: DurableJob, how: HandlerEnd): void {
    job.isExecuting = false
    job.lastEnd = how
  }

  #maySend(job: DurableJob): void {
    const model = this.#model
    const now = model.time()
    const { id } = job
    model.expect(job.over === undefined, () => `${id}, which is ${job.over}, was sent to a thread`)
    model.expect(
      job.ending === undefined,
      () => `${id}, which is about to be ${job.ending}, was sent to a thread`,
    )
    model.expect(!job.isSent, () => `${id} was sent to a second thread`)
    model.expect(!job.isCancelled, () => `${id} was sent although it was cancelled`)
    model.expect(!model.isHeld(job), () => `${id} was sent before its response was over`)
    model.expect(
      job.isExempt || model.isCalledFor(job),
      () => `${id} was sent although its response does not call for it`,
    )
    model.expect(
      model.isAdrift || now >= job.dueAt - TIMER_SLACK,
      () => `${id} was sent ${job.dueAt - now} ms before its time`,
    )
    model.expect(
      model.isAdrift || now >= job.retryAt - TIMER_SLACK,
      () => `${id} was sent ${job.retryAt - now} ms before its retry is due`,
    )
    model.expect(
      !(model.isPaused || model.paused.has(job.rules.pool)),
      () => `${id} was sent to a paused pool`,
    )
    // A suspect is on record as started while it waits for its thread.
    const isLate =
      !(model.isAdrift || job.isSuspect) &&
      job.starts + job.counted === 0 &&
      job.revivals === 0 &&
      now > job.queueDeadline + JOURNAL_SLACK
    model.expect(!isLate, () => `${id} was sent long after its queueTimeout`)
    const row = this.#evidence.stored(id)
    if (this.#evidence.canLook()) {
      const isThere = row !== undefined && !isTerminal(row.state)
      model.expect(isThere, () => `${id} was sent, and in the file it is ${row?.state ?? 'not there'}`)
    }
    this.#isFirstOfBatch(job)
    this.#isFirstOfKey(job)
  }

  #isFirstOfBatch(job: DurableJob): void {
    // One that other batches share may run before those of its own.
    if (!job.isSequential || job.revivals > 0 || job.joined.length > 0) return
    // Of one that equals another, the end is not known here when the next one is added.
    if (job.batch?.jobs.some(({ mayBeDuplicate }) => mayBeDuplicate)) return
    for (const other of job.batch?.jobs ?? []) {
      if (other === job) return
      if (other.joined.length > 0) continue
      const isBefore = other.isSequential && other.revivals === 0 && !this.#isOver(other)
      this.#model.expect(!isBefore, () => `${job.id} was sent before ${other.id} of its batch was over`)
    }
  }

  #isFirstOfKey(job: DurableJob): void {
    const { key } = job
    if (key === undefined) return
    for (const other of this.#model.pending) {
      if (other === job || other.key !== key || this.#isOver(other)) continue
      this.#model.expect(!other.hasBeenSent, () => `${job.id} was sent while ${other.id} holds key ${key}`)
      const isEarlier = isPlain(other) && isPlain(job) && other.place < job.place && !job.hasBeenSent
      this.#model.expect(
        !isEarlier,
        () => `${job.id} was sent before ${other.id}, which was first, key ${key}`,
      )
    }
  }

  /** What may have brought a process down travels alone, and what was charged for it runs with no other suspect. */
  #maySendSuspect(job: DurableJob, inBundle: number): void {
    const model = this.#model
    model.expect(inBundle === 1, () => `${job.id}, a suspect, was sent with others`)
    const row = this.#evidence.stored(job.id)
    const isOnRecord = !this.#evidence.canLook() || row?.state === 'running'
    model.expect(isOnRecord, () => `${job.id}, a suspect, was sent and is not on record as running`)
    for (const other of model.pending) {
      if (other === job || !other.isSuspect || !other.isSent) continue
      const isFree = other.crashes === 0 && job.crashes === 0
      model.expect(isFree, () => `${job.id} and ${other.id}, suspects of which one was charged, run at once`)
    }
  }

  /** Over for certain: told, or in the file. */
  #isOver(job: DurableJob): boolean {
    if (job.over !== undefined) return true
    if (!this.#evidence.canLook()) return job.ending !== undefined
    const row = this.#evidence.stored(job.id)
    return row === undefined ? job.ending !== undefined : isTerminal(row.state)
  }
}

/** Its place in the line of its key is known: not that of one that equals another, which never runs. */
function isPlain({ spec, batch, revivals, mayBeDuplicate, joined }: DurableJob): boolean {
  if (mayBeDuplicate) return false
  if (joined.length > 0) return false
  return batch === undefined && revivals === 0 && spec.delay === undefined && spec.runAt === undefined
}

function codeOf(error: Error | undefined): string {
  return String(Reflect.get(error ?? {}, 'code') ?? error?.name)
}
