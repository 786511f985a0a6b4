/** The rules of the engine as checks: at each event, and at what threads do. */
import type { Lane } from '../../src/pools/pool.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import type { EventJob } from '../../src/words/events.ts'
import { type Model, TIMER_SLACK } from './model.ts'
import type { ModelJob, Over } from './model-job.ts'
import type { HandlerEnd } from './sim-thread.ts'

const CRASH_CODES = new Set(['ERR_THREAD_EXITED', 'ERR_OUT_OF_MEMORY'])

/** Holds what happens against what should. */
export class Checks {
  readonly #model: Model

  constructor(model: Model) {
    this.#model = model
  }

  // ── What the runtime says ──────────────────────────────────────────────────────────────────────────────────────

  /** A job's terminal event. */
  ended({ id, attempt }: EventJob, how: Over, error: Error | undefined): void {
    const model = this.#model
    const job = model.byId.get(id)
    if (job === undefined) return model.violate(`${id}, which was never accepted, is ${how}`)
    if (job.over !== undefined) return model.violate(`${id} is ${how} although it was ${job.over} before`)
    if (how === 'skipped' || how === 'cancelled') model.endsUnrun(job)
    const isBatchStopped = job.calls.some(
      ({ batch }) => batch?.stops === true && batch.calls.some((other) => other.job.ends.includes('dead')),
    )
    if (how === 'completed') {
      model.expect(job.lastEnd === 'returned', () => `${id} completed although its handler ${job.lastEnd}`)
    } else if (how === 'cancelled') {
      model.expect(job.cancelAsked, () => `${id} is cancelled and nobody asked for it`)
    } else if (how === 'lost') {
      model.expect(model.phase !== 'running', () => `${id} is lost and nobody stopped the runtime`)
    } else if (how === 'skipped') {
      const isRight = (model.isRefused(job) && !model.isWanted(job)) || isBatchStopped
      model.expect(isRight, () => `${id} was skipped for no reason`)
    } else this.#diedRightly(job, error)
    model.ended(job, how, attempt)
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
    model.expect(delay <= 200, () => `${id} waits ${delay} ms for its retry`)
    model.retries(job, delay)
  }

  interrupted(id: string): void {
    const job = this.#model.byId.get(id)
    if (job === undefined || job.over !== undefined)
      return this.#model.violate(`${id}, which is over, is interrupted`)
    job.isSent = false
  }

  #diedRightly(job: ModelJob, error: Error | undefined): void {
    const model = this.#model
    const { id, rules, maxAttempts } = job
    const code = codeOf(error)
    model.expect(!job.isCancelled, () => `${id} was cancelled and is dead (${code})`)
    if (code === 'ERR_QUEUE_TIMEOUT') {
      const isDue = model.clock.now() >= job.queueDeadline - TIMER_SLACK
      return model.expect(
        isDue && job.counted === 0,
        () => `${id} is dead of a queueTimeout that has not passed`,
      )
    }
    this.#count(job, error)
    job.counted++
    if (CRASH_CODES.has(code)) {
      const isFinal = rules.onCrash === 'fail' || job.crashes >= rules.maxCrashes
      model.expect(isFinal, () => `${id} is dead after ${job.crashes} crashes`)
    } else if (code !== 'ERR_UNRECOVERABLE') {
      model.expect(
        job.failures >= maxAttempts,
        () => `${id} is dead after ${job.failures} failures (${code})`,
      )
    }
  }

  #count(job: ModelJob, error: Error | undefined): void {
    if (CRASH_CODES.has(codeOf(error))) job.crashes++
    else job.failures++
  }

  // ── What threads do ────────────────────────────────────────────────────────────────────────────────────────────

  /** Jobs were sent to a thread. */
  sent(_lane: Lane, records: readonly JobRecord[]): void {
    for (const record of records) {
      const job = this.#model.byRecord.get(record)
      if (job === undefined)
        return this.#model.violate(`job ${record.seq}, which was never accepted, was sent`)
      this.#maySend(job)
      this.#isNext(job)
      job.isSent = true
      job.holdsKey = true
    }
  }

  /** A job came back from a thread without having started there. */
  givenBack(record: JobRecord): void {
    const job = this.#model.byRecord.get(record)
    if (job !== undefined) job.isSent = false
  }

  handlerStarts(record: JobRecord, attempt: number): void {
    const model = this.#model
    const job = model.byRecord.get(record) as ModelJob
    model.expect(job.over === undefined, () => `${job.id} started although it is ${job.over}`)
    model.expect(!job.isExecuting, () => `${job.id} runs twice at once`)
    model.expect(!job.isCancelled, () => `${job.id} started although it was cancelled`)
    model.expect(
      attempt === job.counted + 1,
      () => `${job.id} is told attempt ${attempt}, not ${job.counted + 1}`,
    )
    let ofTask = 1
    for (const other of model.pending) {
      if (!other.isExecuting || other === job) continue
      if (other.rules === job.rules) ofTask++
      model.expect(
        job.key === undefined || other.key !== job.key,
        () => `${job.id} and ${other.id} run at once, key ${job.key}`,
      )
    }
    model.expect(ofTask <= job.rules.concurrency, () => `${ofTask} jobs of "${job.rules.name}" run at once`)
    model.executes(job)
  }

  handlerStops(record: JobRecord, how: HandlerEnd): void {
    const job = this.#model.byRecord.get(record) as ModelJob
    job.isExecuting = false
    job.lastEnd = how
    this.#model.endsInTime(job)
  }

  #maySend(job: ModelJob): void {
    const model = this.#model
    const now = model.clock.now()
    const { id } = job
    model.expect(job.over === undefined, () => `${id}, which is ${job.over}, was sent to a thread`)
    model.expect(!job.isSent, () => `${id} was sent to a second thread`)
    model.expect(!job.isCancelled, () => `${id} was sent although it was cancelled`)
    model.expect(!model.isHeld(job), () => `${id} was sent before its response was over`)
    model.expect(model.isWanted(job), () => `${id} was sent although its response does not call for it`)
    model.expect(now >= job.dueAt, () => `${id} was sent ${job.dueAt - now} ms before its time`)
    model.expect(now >= job.retryAt, () => `${id} was sent ${job.retryAt - now} ms before its retry is due`)
    model.expect(
      !(model.isPaused || model.paused.has(job.rules.pool)),
      () => `${id} was sent to a paused pool`,
    )
    model.expect(now <= model.stopDeadline + TIMER_SLACK, () => `${id} was sent after the deadline of stop`)
    const isLate = !job.hasStarted && job.revivals === 0 && now > job.queueDeadline + TIMER_SLACK
    model.expect(!isLate, () => `${id} was sent after its queueTimeout`)
    const [other] = job.calls[0]?.behind ?? []
    const isBlocked = model.isBlocked(job)
    model.expect(!isBlocked, () => `${id} was sent before ${other?.job.id} of its batch was over`)
    if (job.key !== undefined && !job.holdsKey) this.#keyIsFree(job, job.key)
  }

  #keyIsFree(job: ModelJob, key: string): void {
    for (const other of this.#model.lineOf(key)) {
      if (other === job) continue
      const isEarlier = isSurelyEarlier(other, job)
      this.#model.expect(!other.holdsKey, () => `${job.id} was sent while ${other.id} holds key ${key}`)
      this.#model.expect(
        !isEarlier,
        () => `${job.id} was sent before ${other.id}, which was first, key ${key}`,
      )
    }
  }

  /** No job with a better rank waits for the same threads. */
  #isNext(job: ModelJob): void {
    const model = this.#model
    const weight = model.ageing === 0 ? 2 ** 40 : model.ageing
    // When a job of a key became the first of its line is not always known: then the doubt is in its favour.
    const readyAt = job.key === undefined ? job.readyAt : Math.max(job.retryAt, job.runnableAt ?? 0)
    const rank = readyAt - job.priority * weight
    for (const other of model.pending) {
      if (other === job || other.rules.pool !== job.rules.pool || !model.surelyWaits(other)) continue
      const otherRank = other.readyAt - other.priority * weight
      model.expect(
        otherRank >= rank - 2 * TIMER_SLACK,
        () => `${job.id} was sent before ${other.id}, which ranks higher`,
      )
    }
  }
}

function isSurelyEarlier(a: ModelJob, b: ModelJob): boolean {
  if (a.holdsKey || a.runnableAt === undefined || b.runnableAt === undefined) return false
  const isTimed = a.dueAt > 0 || b.dueAt > 0
  if (isTimed || !(a.isPlaceKnown && b.isPlaceKnown)) return a.runnableAt < b.runnableAt - TIMER_SLACK
  return a.place < b.place
}

function codeOf(error: Error | undefined): string {
  return String(Reflect.get(error ?? {}, 'code') ?? error?.name)
}
