/** What threads report, passed on to those whom it concerns: outcomes, the scheduler, the announcer, the intake. */
import type { Durability } from '../brokers/port/broker.ts'
import type { Failure, Lane, LaneExit, NestedJob, Pool, PoolHost, ThreadLine } from '../pools/pool.ts'
import { type Encoded, read } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Moved } from '../rules/moved.ts'
import type { TaskEntry } from '../rules/registry.ts'
import { toWireError, type WireError } from '../rules/wire-error.ts'
import type { JobOptions } from '../words/job.ts'
import { HandlerLines, type LineParts } from './handler-lines.ts'
import type { JobIds } from './ids.ts'
import type { Intake } from './intake.ts'
import type { Metrics } from './metrics.ts'
import type { Outcomes } from './outcomes.ts'
import type { Scheduler } from './scheduler.ts'
import type { Stopping } from './stopping.ts'
import type { Watch } from './watch.ts'

/** Whom reports concern. */
export interface ReportParts extends LineParts {
  readonly durability: Durability | null
  readonly entries: readonly TaskEntry[]
  readonly intake: Intake
  readonly ids: JobIds
  readonly metrics: Metrics
  readonly outcomes: Outcomes
  readonly scheduler: Scheduler
  readonly stopping: Stopping
  readonly watch: Watch
}

/** Takes the reports of every pool. */
export class ThreadReports implements PoolHost {
  readonly #parts: ReportParts
  readonly #lines: HandlerLines

  constructor(parts: ReportParts) {
    this.#parts = parts
    this.#lines = new HandlerLines(parts)
  }

  laneFree(pool: Pool, lane: Lane): void {
    this.#parts.scheduler.laneFree(pool, lane)
  }

  spent(milliseconds: number): void {
    this.#parts.scheduler.spent(milliseconds)
  }

  completed(job: JobRecord, result: Encoded | Moved, started: number, ended: number): void {
    this.#parts.announcer.started(job, started)
    this.#lines.over(job)
    this.#parts.outcomes.completed(job, result, started, ended)
    // A result that its schema refuses may be tried again at the next start: then no end is told.
    this.#parts.stopping.look()
  }

  failed(job: JobRecord, failure: Failure, started: number, ended: number): void {
    this.#parts.announcer.started(job, started)
    this.#lines.over(job)
    this.#parts.outcomes.failed(job, failure, started, ended)
    // An attempt that a stop has ended is no job that is over, but it may be the last thing that ran.
    this.#parts.stopping.look()
  }

  started(job: JobRecord): void {
    this.#parts.announcer.started(job, this.#parts.clock.now())
  }

  revoked(job: JobRecord): void {
    this.#parts.outcomes.notStarted(job)
  }

  progress(job: JobRecord, value: Encoded): void {
    job.more.progress = value
    this.#parts.attempts.progress(job)
    this.started(job)
    this.#parts.announcer.progress(job)
  }

  log(job: JobRecord, line: ThreadLine): void {
    this.started(job)
    this.#lines.said(job, line)
  }

  enqueue(
    by: JobRecord,
    { task, payload, options }: NestedJob,
    answer: (id: string | null, error: WireError | null) => void,
  ): void {
    const refuse = (error: unknown): void => answer(null, toWireError(error))
    try {
      const record = this.#parts.intake.take({
        door: 'handler',
        task,
        payload: read(payload, 'payload'),
        options: read(options, 'options') as JobOptions | undefined,
        batch: null,
        context: by.extras?.sentContext ?? by.extras?.context,
      })
      const accept = (): void => answer(this.#parts.ids.idOf(record), null)
      const { durability } = this.#parts
      if (durability === null) accept()
      else durability.stored(record).then(accept, refuse)
    } catch (error) {
      refuse(error)
    }
  }

  stray(pool: Pool, lane: Lane, id: string, error: WireError, tasks: readonly string[]): void {
    this.#parts.announcer.stray(pool, lane.id, id, error, tasks)
  }

  threadStarted(pool: Pool, lane: Lane): void {
    this.#parts.metrics.threadStarted(pool.name)
    this.#parts.announcer.threadStarted(pool, lane.id)
  }

  blamed(task: number): void {
    const entry = this.#parts.entries[task]
    if (entry !== undefined) this.#parts.outcomes.blamed(entry)
  }

  exited(pool: Pool, exit: LaneExit): void {
    this.#parts.watch.forget(exit.lane)
    for (const job of exit.running) {
      this.started(job)
      this.#lines.over(job)
    }
    this.#parts.metrics.threadExited(pool.name, exit.expected)
    this.#parts.announcer.threadExited(pool, exit)
    this.#parts.outcomes.threadExited(exit)
    this.#parts.stopping.look()
  }
}
