/** What the end of an attempt means for its job: done, tried again, dead, cancelled, or given back unharmed. */
import type { Broker } from '../brokers/port/broker.ts'
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
import type { CrashHolds } from './crash-holds.ts'
import type { RunTimes } from './run-times.ts'

/** What is told of outcomes that are not terminal. */
export interface OutcomeHost {
  retrying(job: JobRecord, error: Error, delay: number): void
  interrupted(job: JobRecord, reason: string, error: Error | undefined): void
  /** A job that was sent to a thread waits for its start again. */
  waitsAgain(job: JobRecord): void
  timeoutOf(job: JobRecord): number
}

// The errors of a job's latest attempts are kept; a job that is retried for ever must not grow for ever.
const ERRORS_KEPT = 20

/** Decides on outcomes and tells the broker. */
export class Outcomes {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #random: () => number
  readonly #retry: RetryPolicy
  readonly #runTimes: RunTimes
  readonly #holds: CrashHolds
  /** The task whose attempt has just cost its thread and is about to be told as failed. */
  #blamed: TaskEntry | undefined
  readonly #host: OutcomeHost
  /** When the attempt that is being looked at started and ended. */
  #started: number | undefined
  #endedAt = 0
  #isClosed = false

  constructor(
    parts: {
      broker: Broker
      clock: Clock
      random: () => number
      retry: RetryPolicy | undefined
      runTimes: RunTimes
      holds: CrashHolds
    },
    host: OutcomeHost,
  ) {
    this.#broker = parts.broker
    this.#clock = parts.clock
    this.#random = parts.random
    this.#retry = parts.retry ?? NO_RETRY
    this.#runTimes = parts.runTimes
    this.#holds = parts.holds
    this.#host = host
  }

  /** The handler returned. That counts also when the attempt had been asked to end: the work is done. */
  completed(job: JobRecord, result: Encoded | Moved, started: number, ended: number): void {
    this.#runTimes.learn(job.entry.index, ended - started)
    if (this.#holds.count > 0) this.#holds.lived(job.entry)
    this.#started = started
    this.#endedAt = ended
    const fault = faultOf(job, result)
    if (fault !== undefined) return this.#failedWith(job, fault)
    if (job.extras !== null) job.extras.ending = undefined
    job.startedAt = Math.round(started)
    if (this.#broker.keepsHistory === true) this.#tell(job, 'completed')
    this.#broker.finish(job, { state: 'completed', result, at: ended })
  }

  /** The handler threw, or an error escaped it. */
  failed(job: JobRecord, { error, wasAsked }: Failure, started: number, ended: number): void {
    this.#runTimes.learn(job.entry.index, ended - started)
    if (this.#holds.count > 0 && this.#blamed !== job.entry) this.#holds.lived(job.entry)
    this.#blamed = undefined
    this.#started = started
    this.#endedAt = ended
    // It failed by itself, before the timer of a busy event loop or a stop asked it to end.
    const why = job.extras?.ending?.why
    if (!wasAsked && (why === 'timeout' || why === 'stop')) job.more.ending = undefined
    this.#failedWith(job, error)
  }

  /** An attempt of this task has cost its thread, which is being replaced; that it failed may follow. */
  blamed(entry: TaskEntry): void {
    this.#blamed = entry
    this.#holds.died(entry)
  }

  #failedWith(job: JobRecord, error: WireError | Error): void {
    const isEnding = job.extras?.ending !== undefined
    if (isEnding) this.#ended(job, error instanceof Error ? error : fromWireError(error))
    else this.#attemptFailed(job, error)
  }

  /** Sent to a thread, but not started there. */
  notStarted(job: JobRecord): void {
    if (this.#isGone(job)) return this.#crashed(job, new ThreadExitedError(job.entry.task.name, 1))
    job.attempts--
    // Whoever heard that its thread was gone may have cancelled it before its turn here.
    if (job.extras?.ending?.why === 'cancel') return this.#cancelled(job, job.extras.ending.reason)
    this.#broker.giveBack(job)
    this.#host.waitsAgain(job)
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
    this.#started = undefined
    this.#endedAt = this.#clock.now()
    for (const job of unstarted) this.notStarted(job)
    if (!expected) this.#blame(culprit === undefined ? running : [culprit])
    for (const job of running) {
      const { name } = job.entry.task
      if (job.extras?.ending !== undefined) this.#ended(job, undefined)
      else if (culprit !== undefined && culprit !== job)
        this.#interrupted(job, 'another job ended its thread')
      else if (Reflect.get(error ?? {}, 'code') === 'ERR_WORKER_OUT_OF_MEMORY') {
        this.#crashed(job, new OutOfMemoryError(name, { cause: error }))
      } else if (running.some((other) => other.extras?.ending !== undefined)) {
        this.#interrupted(job, 'its thread had to be ended because of another job')
      } else {
        this.#crashed(job, new ThreadExitedError(name, exitCode, error === undefined ? {} : { cause: error }))
      }
    }
  }

  /** Each task once: of several that ran beside each other nobody can tell which it was. */
  #blame(jobs: readonly JobRecord[]): void {
    for (const entry of new Set(jobs.map((job) => job.entry))) this.#holds.died(entry)
  }

  /** An attempt that had been asked to end has ended, by itself (`error`) or with its thread. */
  #ended(job: JobRecord, error: Error | undefined): void {
    const { why, reason } = job.extras?.ending ?? { why: 'stop', reason: undefined }
    job.more.ending = undefined
    const { name } = job.entry.task
    if (why === 'cancel') {
      this.#tell(job, 'cancelled', new TaskCancelledError(name, reason))
      this.#cancelled(job, reason)
    } else if (why === 'timeout') {
      const timeout = new TaskTimeoutError(name, this.#host.timeoutOf(job))
      if (error !== undefined) timeout.cause = error
      this.#attemptFailed(job, timeout)
    } else if (why === 'lease') this.#interrupted(job, 'its lease was lost', reason as Error)
    else this.#interrupted(job, 'the runtime is stopping')
  }

  #cancelled(job: JobRecord, reason: unknown): void {
    job.more.ending = undefined
    const error = new TaskCancelledError(job.entry.task.name, reason)
    this.#broker.finish(job, { state: 'cancelled', error })
  }

  #interrupted(job: JobRecord, reason: string, error?: Error): void {
    if (this.#isGone(job)) return this.#crashed(job, new ThreadExitedError(job.entry.task.name, 1))
    this.#tell(job, 'interrupted')
    job.attempts--
    // Told once it is so: a listener may cancel the job.
    this.#broker.giveBack(job)
    this.#host.interrupted(job, reason, error)
  }

  #attemptFailed(job: JobRecord, error: WireError | Error): void {
    job.failures++
    this.#tell(job, 'failed', error)
    const policy = job.entry.task.policy.retry ?? this.#retry
    const most = job.payload instanceof Moved ? 1 : (job.extras?.maxAttempts ?? policy.maxAttempts)
    const real = error instanceof Error ? error : fromWireError(error)
    if (job.failures >= most || isUnrecoverable(real)) this.#broker.finish(job, { state: 'dead', error })
    else this.#again(job, error, real, backoffDelay(policy.backoff, job.failures, this.#random))
  }

  #crashed(job: JobRecord, error: Error): void {
    job.crashes++
    this.#tell(job, 'crashed', error)
    const { onCrash, maxCrashes } = job.entry.task.policy
    // A moved payload went down with the thread.
    const isFinal = onCrash === 'fail' || job.crashes >= maxCrashes || job.payload instanceof Moved
    if (isFinal) this.#broker.finish(job, { state: 'dead', error })
    else this.#again(job, error, error, this.#holds.retryDelay(job.entry))
  }

  #tell(job: JobRecord, outcome: AttemptOutcome, error?: WireError | Error): void {
    if (this.#broker.attempted === undefined) return
    const attempt = { outcome, started: this.#started, ended: this.#endedAt }
    this.#broker.attempted(job, error === undefined ? attempt : { ...attempt, error })
  }

  #again(job: JobRecord, error: WireError | Error, real: Error, delay: number): void {
    const { more } = job
    more.errors ??= []
    more.errors.push(error)
    if (more.errors.length > ERRORS_KEPT) more.errors.shift()
    this.#broker.retry(job, this.#clock.now() + delay)
    // Told once it is so: a listener may cancel the job.
    this.#host.retrying(job, real, delay)
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
