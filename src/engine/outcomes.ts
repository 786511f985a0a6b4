/** What the end of an attempt means for its job: done, tried again, dead, cancelled, or given back unharmed. */
import type { Attempt } from '../brokers/port/attempt.ts'
import type { AttemptSink } from '../brokers/port/broker.ts'
import type { Failure, LaneExit } from '../pools/pool.ts'
import type { Encoded } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved, readResult } from '../rules/moved.ts'
import type { TaskEntry } from '../rules/registry.ts'
import { backoffDelay, NO_RETRY, type RetryPolicy } from '../rules/retry.ts'
import { checkAgainst } from '../rules/task.ts'
import { fromWireError, type WireError } from '../rules/wire-error.ts'
import type { Clock } from '../words/clock.ts'
import {
  isUnrecoverable,
  NonErrorThrownError,
  OutOfMemoryError,
  ResultInvalidError,
  TaskCancelledError,
  TaskTimeoutError,
  ThreadExitedError,
} from '../words/errors.ts'
import type { AttemptOutcome } from '../words/job.ts'
import type { Announcer } from './announcer.ts'
import type { CrashHolds } from './crash-holds.ts'
import type { Limits } from './limits.ts'
import type { Metrics } from './metrics.ts'
import type { RunTimes } from './run-times.ts'
import type { Tracing } from './tracing.ts'

// The errors of a job's latest attempts are kept; a job that is retried for ever must not grow for ever.
const ERRORS_KEPT = 20

/** When an attempt started, if that is known, and when it ended. */
type Times = Pick<Attempt, 'started' | 'ended'>

/** Decides on outcomes and tells the broker. */
export class Outcomes {
  readonly #sink: AttemptSink
  readonly #clock: Clock
  readonly #random: () => number
  readonly #retry: RetryPolicy
  readonly #runTimes: RunTimes
  readonly #holds: CrashHolds
  /** The task whose attempt has just cost its thread and is about to be told as failed. */
  #blamed: TaskEntry | undefined
  readonly #announcer: Announcer
  readonly #limits: Limits
  readonly #metrics: Metrics
  readonly #tracing: Tracing | null
  #isClosed = false

  constructor(parts: {
    announcer: Announcer
    sink: AttemptSink
    clock: Clock
    limits: Limits
    metrics: Metrics
    tracing: Tracing | null
    random: () => number
    retry: RetryPolicy | undefined
    runTimes: RunTimes
    holds: CrashHolds
  }) {
    this.#announcer = parts.announcer
    this.#sink = parts.sink
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#metrics = parts.metrics
    this.#tracing = parts.tracing
    this.#random = parts.random
    this.#retry = parts.retry ?? NO_RETRY
    this.#runTimes = parts.runTimes
    this.#holds = parts.holds
  }

  /** The handler returned. That counts also when the attempt had been asked to end: the work is done. */
  completed(job: JobRecord, result: Encoded | Moved, started: number, ended: number): void {
    this.#runTimes.learn(job.entry.index, ended - started)
    if (this.#holds.count > 0) this.#holds.lived(job.entry)
    const fault = faultOf(job, result)
    if (fault !== undefined) return this.#failedWith(job, fault, started, ended)
    if (job.extras !== null) job.extras.abort = undefined
    job.startedAt = Math.round(started)
    const attempt: Attempt = { number: job.attempts, outcome: 'completed', started, ended }
    this.#over(job, attempt)
    this.#sink.finish(job, { state: 'completed', result, attempt })
  }

  /** The handler threw, or an error escaped it. */
  failed(job: JobRecord, { error, wasAsked }: Failure, started: number, ended: number): void {
    this.#runTimes.learn(job.entry.index, ended - started)
    if (this.#holds.count > 0 && this.#blamed !== job.entry) this.#holds.lived(job.entry)
    this.#blamed = undefined
    // It failed by itself, before the timer of a busy event loop or a stop asked it to end.
    const why = job.extras?.abort?.why
    if (!wasAsked && (why === 'timeout' || why === 'stop')) job.more.abort = undefined
    this.#failedWith(job, error, started, ended)
  }

  /** An attempt of this task has cost its thread, which is being replaced; that it failed may follow. */
  blamed(entry: TaskEntry): void {
    this.#blamed = entry
    this.#holds.died(entry)
  }

  #failedWith(job: JobRecord, error: WireError | Error, started: number, ended: number): void {
    const isAborted = job.extras?.abort !== undefined
    const times = { started, ended }
    if (isAborted) this.#ended(job, times, error instanceof Error ? error : fromWireError(error))
    else this.#attemptFailed(job, times, error)
  }

  /** Sent to a thread, but not started there. */
  notStarted(job: JobRecord): void {
    if (this.#isGone(job))
      return this.#crashed(job, this.#unknownTimes(), new ThreadExitedError(job.entry.task.name, 1))
    this.#tracing?.takenBack(job)
    job.attempts--
    // Whoever heard that its thread was gone may have cancelled it before its turn here.
    if (job.extras?.abort?.why === 'cancel') return this.#cancelled(job, job.extras.abort.reason)
    this.#sink.putBack(job, null)
  }

  /** No job starts any more: what comes back from now on is unfinished, whatever became of its payload. */
  close(): void {
    this.#isClosed = true
  }

  /** A moved payload is with the thread and nowhere else. */
  #isGone(job: JobRecord): boolean {
    return job.payload instanceof Moved && !this.#isClosed
  }

  /** The thread is gone. */
  threadExited({ unstarted, running, culprit, error, exitCode, expected }: LaneExit): void {
    const times = this.#unknownTimes()
    for (const job of unstarted) this.notStarted(job)
    if (!expected) this.#blame(culprit === undefined ? running : [culprit])
    for (const job of running) {
      const { name } = job.entry.task
      if (job.extras?.abort !== undefined) this.#ended(job, times, undefined)
      else if (culprit !== undefined && culprit !== job)
        this.#interrupted(job, times, 'another job ended its thread')
      else if (Reflect.get(error ?? {}, 'code') === 'ERR_WORKER_OUT_OF_MEMORY') {
        this.#crashed(job, times, new OutOfMemoryError(name, { cause: error }))
      } else if (running.some((other) => other.extras?.abort !== undefined)) {
        this.#interrupted(job, times, 'its thread had to be ended because of another job')
      } else {
        this.#crashed(
          job,
          times,
          new ThreadExitedError(name, exitCode, error === undefined ? {} : { cause: error }),
        )
      }
    }
  }

  /** Each task once: of several that ran beside each other nobody can tell which it was. */
  #blame(jobs: readonly JobRecord[]): void {
    for (const entry of new Set(jobs.map((job) => job.entry))) this.#holds.died(entry)
  }

  /** An attempt that had been asked to end has ended, by itself (`error`) or with its thread. */
  #ended(job: JobRecord, times: Times, error: Error | undefined): void {
    const { why, reason } = job.extras?.abort ?? { why: 'stop', reason: undefined }
    job.more.abort = undefined
    const { name } = job.entry.task
    if (why === 'cancel') {
      this.#cancelled(job, reason, times)
    } else if (why === 'timeout') {
      const timeout = new TaskTimeoutError(name, this.#limits.timeoutOf(job))
      if (error !== undefined) timeout.cause = error
      this.#attemptFailed(job, times, timeout)
    } else if (why === 'lease') this.#interrupted(job, times, 'its lease was lost', reason as Error)
    else this.#interrupted(job, times, 'the runtime is stopping')
  }

  #cancelled(job: JobRecord, reason: unknown, times?: Times): void {
    job.more.abort = undefined
    const error = new TaskCancelledError(job.entry.task.name, reason)
    const ending = { state: 'cancelled', error } as const
    if (times === undefined) this.#sink.finish(job, ending)
    else this.#sink.finish(job, { ...ending, attempt: this.#attemptOf(job, 'cancelled', times, error) })
  }

  #interrupted(job: JobRecord, times: Times, reason: string, error?: Error): void {
    if (this.#isGone(job)) return this.#crashed(job, times, new ThreadExitedError(job.entry.task.name, 1))
    const attempt = this.#attemptOf(job, 'interrupted', times)
    job.attempts--
    // Told once it is so: a listener may cancel the job.
    this.#sink.putBack(job, attempt)
    this.#announcer.interrupted(job, reason, error)
  }

  #attemptFailed(job: JobRecord, times: Times, error: WireError | Error): void {
    job.failures++
    const attempt = this.#attemptOf(job, 'failed', times, error)
    const policy = job.entry.task.policy.retry ?? this.#retry
    const most = job.payload instanceof Moved ? 1 : (job.extras?.maxAttempts ?? policy.maxAttempts)
    const real = error instanceof Error ? error : fromWireError(error)
    if (job.failures >= most || isUnrecoverable(real))
      this.#sink.finish(job, { state: 'dead', error, attempt })
    else this.#again(job, attempt, error, real, backoffDelay(policy.backoff, job.failures, this.#random))
  }

  #crashed(job: JobRecord, times: Times, error: Error): void {
    job.crashes++
    const attempt = this.#attemptOf(job, 'crashed', times, error)
    const { onCrash, maxCrashes } = job.entry.task.policy
    // A moved payload went down with the thread.
    const isFinal = onCrash === 'fail' || job.crashes >= maxCrashes || job.payload instanceof Moved
    if (isFinal) this.#sink.finish(job, { state: 'dead', error, attempt })
    else this.#again(job, attempt, error, error, this.#holds.retryDelay(job.entry))
  }

  /** The thread took with it when the attempt started. */
  #unknownTimes(): Times {
    return { started: undefined, ended: this.#clock.now() }
  }

  /** Told of each attempt that is over, however it went. */
  #over(job: JobRecord, attempt: Attempt): void {
    this.#metrics.attempted(job, attempt)
    this.#tracing?.ended(job, attempt)
  }

  /** An attempt that is over, and counted. */
  #attemptOf(
    job: JobRecord,
    outcome: AttemptOutcome,
    { started, ended }: Times,
    error?: WireError | Error,
  ): Attempt {
    const over = { number: job.attempts, outcome, started, ended }
    const attempt = error === undefined ? over : { ...over, error }
    this.#over(job, attempt)
    return attempt
  }

  #again(job: JobRecord, attempt: Attempt, error: WireError | Error, real: Error, delay: number): void {
    const { more } = job
    more.errors ??= []
    more.errors.push(error)
    if (more.errors.length > ERRORS_KEPT) more.errors.shift()
    this.#sink.retry(job, this.#clock.now() + delay, attempt)
    // Told once it is so: a listener may cancel the job.
    this.#announcer.retrying(job, real, delay)
  }
}

/** What is wrong with a result, by the schema of its task. A schema that throws counts as a refusal. */
function faultOf(job: JobRecord, result: Encoded | Moved): Error | undefined {
  const { task } = job.entry
  if (task.result === undefined) return undefined
  try {
    const value = readResult(result, 'result')
    const checked = checkAgainst(task.result, value, 'result')
    return 'issues' in checked ? new ResultInvalidError(task.name, checked.issues) : undefined
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new NonErrorThrownError(thrown)
  }
}
