/** Tells what happens to jobs and threads: as events to whoever listens, as a line on stderr where nobody does. */
import type { LaneExit, Pool } from '../pools/pool.ts'
import { decode, type Encoded } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { fromWireError, type WireError } from '../rules/wire-error.ts'
import { AftertaskError, JobLostError } from '../words/errors.ts'
import { Emitter, type EventJob, type RuntimeEvents } from '../words/events.ts'
import type { JobState } from '../words/job.ts'
import { errorOf, resultOf, settlementOf } from './job.ts'

/** Where lines go when nobody listens. */
export type LineWriter = (line: string) => void

/** The voice of a runtime. Nothing is put together for an event that nobody wants. */
export class Announcer {
  readonly events: Emitter
  readonly #idOf: (job: JobRecord) => string
  readonly #writeLine: LineWriter
  /** Attempts whose start was told, so that it is told once and before whatever follows from it. */
  readonly #started = new WeakMap<JobRecord, number>()

  constructor(idOf: (job: JobRecord) => string, writeLine: LineWriter) {
    this.#idOf = idOf
    this.#writeLine = writeLine
    this.events = new Emitter((name, error) => writeLine(`a listener for "${name}" threw: ${inWords(error)}`))
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
    this.events.emit('job:progress', { job: this.#about(job), progress: job.extras?.progress })
  }

  log(job: JobRecord, level: RuntimeEvents['job:log']['level'], message: string, data: Encoded): void {
    if (!this.events.has('job:log')) return
    this.events.emit('job:log', { job: this.#about(job), level, message, data: decode(data) })
  }

  retrying(job: JobRecord, error: Error, delay: number): void {
    if (this.events.has('job:retrying'))
      this.events.emit('job:retrying', { job: this.#about(job), error, delay })
  }

  interrupted(job: JobRecord, reason: string, error: Error | undefined): void {
    if (this.events.has('job:interrupted')) {
      // Its attempt has already been taken off the count, but it is what this is about.
      const about = { ...this.#about(job), attempt: job.attempts + 1 }
      this.events.emit('job:interrupted', { job: about, reason, error })
    }
  }

  fenced(job: JobRecord, state: JobState, error: Error): void {
    if (this.events.has('job:fenced')) this.events.emit('job:fenced', { job: this.#about(job), state, error })
    else {
      const what = `came to its end (${state}) after its lease was lost; that does not count`
      this.#writeLine(`job ${this.#idOf(job)} (${job.entry.task.name}) ${what}`)
    }
  }

  /** A job is over: the one event of its terminal state, and its promises. `ran` is the last attempt's run time. */
  settled(job: JobRecord, ran: number): void {
    // Before the event: a listener may revive the job, which is then no longer over.
    job.extras?.settle?.resolve(settlementOf(job))
    const total = job.readyAt - job.acceptedAt
    const { events } = this
    switch (job.state) {
      case 'completed':
        if (events.has('job:completed')) {
          events.emit('job:completed', { job: this.#about(job), result: resultOf(job), ran, total })
        }
        break
      case 'skipped':
        if (events.has('job:skipped')) {
          events.emit('job:skipped', { job: this.#about(job), reason: job.extras?.reason ?? '', total })
        }
        break
      case 'dead':
        this.#failed('job:dead', job, total)
        break
      default:
        this.#failed(job.extras?.reason === 'lost' ? 'job:lost' : 'job:cancelled', job, total)
    }
  }

  threadStarted(pool: Pool, thread: number): void {
    this.events.emit('thread:started', { pool: pool.name, thread })
  }

  threadExited(pool: Pool, { lane, exitCode, error, expected, restartIn }: LaneExit): void {
    this.events.emit('thread:exited', {
      pool: pool.name,
      thread: lane.id,
      exitCode,
      error,
      expected,
      restartIn,
    })
    if (restartIn > 0 && !this.events.has('thread:exited')) {
      const why = error === undefined ? `exit code ${exitCode}` : inWords(error)
      this.#writeLine(
        `the threads of pool "${pool.name}" keep dying (${why}); the next starts in ${restartIn} ms`,
      )
    }
  }

  reached(fault: Error | undefined, downFor: number): void {
    if (fault === undefined) return this.events.emit('broker:up', { downFor })
    if (this.events.has('broker:down')) this.events.emit('broker:down', { error: fault })
    else this.#writeLine(`the broker cannot be reached: ${inWords(fault)}`)
  }

  stray(pool: Pool, thread: number, jobId: string, wire: WireError): void {
    const error = fromWireError(wire)
    if (this.events.has('thread:error'))
      this.events.emit('thread:error', { pool: pool.name, thread, jobId, error })
    else
      this.#writeLine(
        `an error escaped a handler that had already ended (job ${jobId || 'unknown'}): ${inWords(error)}`,
      )
  }

  #failed(name: 'job:dead' | 'job:cancelled' | 'job:lost', job: JobRecord, total: number): void {
    if (this.events.has(name)) {
      const error = errorOf(job) ?? settlementOf(job).error ?? new JobLostError(job.entry.task.name)
      this.events.emit(name, { job: this.#about(job), error, total })
    } else if (name !== 'job:cancelled') {
      const error = settlementOf(job).error
      const tries = job.attempts === 1 ? '1 attempt' : `${job.attempts} attempts`
      const what = name === 'job:dead' ? `is dead after ${tries}` : 'is lost'
      this.#writeLine(`job ${this.#idOf(job)} (${job.entry.task.name}) ${what}: ${inWords(error)}`)
    }
  }

  #about(job: JobRecord): EventJob {
    return { id: this.#idOf(job), name: job.entry.task.name, attempt: job.attempts }
  }
}

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = error instanceof AftertaskError ? ` [${error.code}]` : ''
  return `${error.name}: ${error.message}${code}`.replaceAll('\n', ' ')
}
