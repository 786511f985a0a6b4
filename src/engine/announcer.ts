/** Tells what happens to jobs and threads: as events to whoever listens, as a line on stderr where nobody does. */
import type { LaneExit, Pool } from '../pools/pool.ts'
import { isA } from '../rules/arguments.ts'
import { readOrError } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { KeptLine } from '../rules/log-lines.ts'
import { fromWireError, toWireError, type WireError } from '../rules/wire-error.ts'
import { JobLostError } from '../words/errors.ts'
import { Emitter, type EventJob, type EventName, type RuntimeEvents } from '../words/events.ts'
import type { JobState } from '../words/job.ts'
import { errorOf, keptEndOf, progressOf, resultOf, settlementOf } from './job.ts'
import { inWords, type Log, type LogLevel, type LogLine } from './log.ts'
import type { Redaction } from './redaction.ts'
import { isFaultOfPredicate } from './when.ts'

/** The voice of a runtime. Nothing is put together for an event that nobody wants. */
export class Announcer {
  readonly events: Emitter
  readonly #idOf: (job: JobRecord) => string
  readonly #log: Log
  readonly #redaction: Redaction
  /** Attempts whose start was told, so that it is told once and before whatever follows from it. */
  readonly #started = new WeakMap<JobRecord, number>()

  constructor(idOf: (job: JobRecord) => string, log: Log, redaction: Redaction) {
    this.#idOf = idOf
    this.#log = log
    this.#redaction = redaction
    this.events = new Emitter((name, error) =>
      log.say(`a listener for "${name}" threw: ${inWords(error)}`, { level: 'error', ...asError(error) }),
    )
  }

  enqueued(job: JobRecord): void {
    if (this.events.has('job:enqueued'))
      this.events.emit('job:enqueued', { job: this.#about(job), state: job.state })
  }

  started(job: JobRecord, startedAt: number): void {
    if (!this.events.has('job:started') || this.#started.get(job) === job.attempts) return
    this.#started.set(job, job.attempts)
    const waited = Math.max(0, startedAt - job.readyAt)
    this.events.emit('job:started', { job: this.#about(job), waited })
  }

  progress(job: JobRecord): void {
    if (!this.events.has('job:progress')) return
    const make = () => ({ job: this.#about(job), progress: progressOf(job) })
    this.events.emitEach('job:progress', make, this.#shown(job))
  }

  /** A handler has said something, of which nothing is secret any more. `dropped`: so many lines are missing here. */
  log(job: JobRecord, { at, from, level, message, data }: KeptLine, dropped: number | undefined): void {
    const requestId = job.extras?.context?.requestId
    const line = (): RuntimeEvents['job:log'] => ({
      ...{ job: this.#about(job), level, message, data: readOrError(data, 'data'), at, from },
      ...(requestId !== undefined && { requestId }),
      ...(dropped !== undefined && { dropped }),
    })
    const isHeard = this.events.isHeard('job:log')
    if (this.events.has('job:log')) this.events.emitEach('job:log', line)
    // What is printed is printed: a terminal need not show it twice.
    const isPrinted = from === 'stdout' || from === 'stderr'
    if (!(this.#log.hearsAll || (!(isHeard || isPrinted) && this.#log.takes(level)))) return
    const { from: _, dropped: __, ...rest } = line()
    this.#log.write({ from: 'handler', ...rest, ...(isPrinted && { printed: from }) })
  }

  retrying(job: JobRecord, error: Error, delay: number): void {
    if (this.events.has('job:retrying'))
      this.events.emit('job:retrying', { job: this.#about(job), error, delay }, this.#shown(job))
  }

  interrupted(job: JobRecord, reason: string, error: Error | undefined): void {
    if (this.events.has('job:interrupted')) {
      // Its attempt has already been taken off the count, but it is what this is about.
      const about = { ...this.#about(job), attempt: job.attempts + 1 }
      this.events.emit('job:interrupted', { job: about, reason, error }, this.#shown(job))
    }
  }

  fenced(job: JobRecord, state: JobState, error: Error): void {
    if (!this.#wants('job:fenced', 'warn')) return
    const about = this.#about(job)
    this.#tell('job:fenced', job, { job: about, state, error }, () => {
      const what = `came to its end (${state}) after its lease was lost; that does not count`
      return { message: `job ${about.id} (${about.name}) ${what}`, job: about }
    })
  }

  /** A job is over: the one event of its terminal state, and its promises. `ran` is the last attempt's run time. */
  settled(job: JobRecord, ran: number): void {
    // Before the event: a listener may revive the job, which is then no longer over.
    job.extras?.settle?.resolve(keptEndOf(job))
    const total = job.readyAt - job.acceptedAt
    const { events } = this
    switch (job.state) {
      case 'completed':
        if (events.has('job:completed')) {
          const make = () => ({ job: this.#about(job), result: resultOf(job), ran, total })
          events.emitEach('job:completed', make, this.#shown(job))
        }
        break
      case 'skipped':
        this.#skipped(job, total)
        break
      case 'dead':
        this.#failed('job:dead', job, total)
        break
      default:
        if (job.extras?.reason === 'lost') this.#failed('job:lost', job, total)
        else if (events.has('job:cancelled')) {
          const event = { job: this.#about(job), error: errorToTell(job), total }
          events.emit('job:cancelled', event, this.#shown(job))
        }
    }
  }

  #skipped(job: JobRecord, total: number): void {
    const reason = job.extras?.reason ?? ''
    const isExpected = !isFaultOfPredicate(reason)
    // Most are skipped by their response, as they should be: not worth a line.
    if (isExpected && !this.events.has('job:skipped')) return
    const about = this.#about(job)
    this.#tell('job:skipped', job, { job: about, reason, total }, () => ({
      message: `job ${about.id} (${about.name}) was skipped: ${reason}`,
      job: about,
    }))
  }

  threadStarted(pool: Pool, thread: number): void {
    this.events.emit('thread:started', { pool: pool.name, thread })
  }

  threadExited(pool: Pool, { lane, exitCode, error, expected, restartIn }: LaneExit): void {
    const event = { pool: pool.name, thread: lane.id, exitCode, error, expected, restartIn }
    if (restartIn === 0) return this.events.emit('thread:exited', event, this.#shown(undefined))
    this.#tell('thread:exited', undefined, event, () => {
      const why = error === undefined ? `exit code ${exitCode}` : inWords(error)
      const message = Number.isFinite(restartIn)
        ? `the threads of pool "${pool.name}" keep dying (${why}); the next starts in ${restartIn} ms`
        : `the threads of pool "${pool.name}" cannot be started (${why}); no further one is tried, and its jobs wait`
      return { message, level: 'error', ...asError(error) }
    })
  }

  reached(fault: Error | undefined, downFor: number): void {
    if (fault === undefined) return this.events.emit('broker:up', { downFor })
    this.#tell('broker:down', undefined, { error: fault }, () => ({
      message: `the broker is down: ${inWords(fault)}`,
      level: 'error',
      error: fault,
    }))
  }

  staleSchedule(event: RuntimeEvents['schedule:stale'], isFirst: boolean): void {
    const { schedule, reason } = event
    if (!isFirst) return this.events.emit('schedule:stale', event)
    this.#tell('schedule:stale', undefined, event, () => {
      const what =
        reason === 'no-task'
          ? `is due, but no task is named "${schedule.task}"; its runs add nothing`
          : 'runs, and this process has not set it; others like it are told of as events alone'
      const remedy = `Take it away with unschedule("${schedule.id}"), or all that are not set with unscheduleOthers()`
      return { message: `schedule "${schedule.id}" ${what}. ${remedy}`, level: 'warn' }
    })
  }

  promiseRejected(name: string, thrown: unknown): void {
    const error = isA(thrown, Error) ? thrown : new Error(inWords(thrown), { cause: thrown })
    this.#tell('promise:rejected', undefined, { name, error }, () => ({
      message: `a promise given to waitUntil (${name}) was rejected: ${inWords(error)}`,
      level: 'error',
      error,
    }))
  }

  stray(pool: Pool, thread: number, jobId: string, wire: WireError, tasks: readonly string[]): void {
    const error = fromWireError(wire)
    this.#tell('thread:error', undefined, { pool: pool.name, thread, jobId, error }, () => {
      const escaped =
        tasks.length > 0
          ? `an error escaped the module that holds the handler of ${tasks.join(', ')}`
          : `an error escaped a handler that had already ended (job ${jobId || 'unknown'})`
      const message = `${escaped}: ${inWords(error)}`
      return { message, level: 'error', error }
    })
  }

  unresponsive(pool: Pool, thread: number): void {
    const error = new Error(
      'The thread does not answer: what a handler left behind keeps it busy. It is replaced.',
    )
    this.stray(pool, thread, '', toWireError(error), [])
  }

  #failed(name: 'job:dead' | 'job:lost', job: JobRecord, total: number): void {
    if (!this.#wants(name, 'error')) return
    const about = this.#about(job)
    const error = errorToTell(job)
    this.#tell(name, job, { job: about, error, total }, () => {
      const tries = job.attempts === 1 ? '1 attempt' : `${job.attempts} attempts`
      const what = name === 'job:dead' ? `is dead after ${tries}` : 'is lost'
      const message = `job ${about.id} (${about.name}) ${what}: ${inWords(error)}`
      return { message, level: 'error', job: about, error }
    })
  }

  /** True when somebody listens to an event, or its line of this level goes anywhere. */
  #wants(name: EventName, level: LogLevel): boolean {
    return this.events.has(name) || this.#log.takes(level)
  }

  /** Emits an event that somebody should know of. Where nobody listens, and for a logger of the user's, there is a line. */
  #tell<Name extends EventName>(
    name: Name,
    about: JobRecord | undefined,
    event: RuntimeEvents[Name],
    line: () => Partial<LogLine> & { message: string },
  ): void {
    const isHeard = this.events.isHeard(name)
    this.events.emit(name, event, this.#shown(about))
    if (isHeard && !this.#log.hearsAll) return
    const { message, error, ...rest } = line()
    this.#log.write({
      ...{ from: 'runtime', level: 'warn', ...rest, message: this.#redaction.text(about, message) },
      ...(error && { error: this.#redaction.error(about, error) }),
    })
  }

  /** What of an event may leave this program. */
  #shown(job: JobRecord | undefined): (event: object) => object {
    return (event) => this.#redaction.event(job, event)
  }

  #about(job: JobRecord): EventJob {
    return { id: this.#idOf(job), name: job.entry.task.name, attempt: job.attempts }
  }
}

/** Why a job is over that has not completed. */
function errorToTell(job: JobRecord): Error {
  return errorOf(job) ?? settlementOf(job).error ?? new JobLostError(job.entry.task.name)
}

function asError(error: unknown): { error?: Error } {
  return isA(error, Error) ? { error } : {}
}
