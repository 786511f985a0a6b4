/** Tells telemetry of jobs and attempts, and keeps from the engine whatever it throws. */
import type { Attempt } from '../brokers/port/attempt.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { fromWireError } from '../rules/wire-error.ts'
import type { Clock } from '../words/clock.ts'
import { inWords } from './log.ts'
import type { Redaction } from './redaction.ts'
import type { Telemetry, TracedJob } from './telemetry.ts'

/** What tracing works with. */
export interface TracingParts {
  readonly telemetry: Telemetry
  readonly clock: Clock
  readonly idOf: (job: JobRecord) => string
  readonly say: (line: string) => void
  readonly redaction: Redaction
}

/** There is one only where the runtime has telemetry: others pay nothing. */
export class Tracing {
  readonly #parts: TracingParts
  #hasComplained = false

  constructor(parts: TracingParts) {
    this.#parts = parts
  }

  /** The tracing of a runtime's option; null where there is none. */
  static by(telemetry: unknown, parts: Omit<TracingParts, 'telemetry'>): Tracing | null {
    return telemetry === undefined ? null : new Tracing({ ...parts, telemetry: telemetry as Telemetry })
  }

  /** The module that threads run handlers through. */
  get threadModule(): string | undefined {
    return this.#parts.telemetry.threadModule?.href
  }

  /** A job is about to be accepted, in the context of its caller. */
  added(job: JobRecord): void {
    const traceparent = this.#guarded(() => this.#parts.telemetry.added(this.#about(job)))
    if (traceparent !== undefined) job.more.context = { ...job.extras?.context, traceparent }
  }

  /** These are about to be sent to a thread. */
  sending(jobs: readonly JobRecord[]): void {
    for (const job of jobs) {
      const traceparent = this.#guarded(() => this.#parts.telemetry.sent(this.#about(job)))
      if (traceparent !== undefined) job.more.sentContext = { ...job.extras?.context, traceparent }
    }
  }

  /** An attempt that was sent has not started. */
  takenBack(job: JobRecord): void {
    this.#guarded(() => this.#parts.telemetry.takenBack(this.#about(job)))
    job.more.sentContext = undefined
  }

  /** An attempt is over. */
  ended(job: JobRecord, { outcome, started, ended, error }: Attempt): void {
    const { clock, telemetry } = this.#parts
    const offset = clock.wall() - clock.now()
    const startedAt = started === undefined ? undefined : started + offset
    const real = error === undefined || error instanceof Error ? error : fromWireError(error)
    const shown = real && this.#parts.redaction.error(job, real)
    const attempt = { outcome, startedAt, endedAt: ended + offset, error: shown }
    this.#guarded(() => telemetry.ended(this.#about(job), attempt))
    job.more.sentContext = undefined
  }

  #about(job: JobRecord): TracedJob {
    const { name, policy } = job.entry.task
    const { attempts: attempt, extras } = job
    return { id: this.#parts.idOf(job), name, pool: policy.pool, attempt, context: extras?.context }
  }

  #guarded<Value>(call: () => Value): Value | undefined {
    try {
      return call()
    } catch (error) {
      if (!this.#hasComplained) this.#parts.say(`telemetry threw, and is not heard again: ${inWords(error)}`)
      this.#hasComplained = true
      return undefined
    }
  }
}
