/** Progress on its way to where jobs are kept: a handler may tell it many times a second, and few of those need a write. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'

/** Milliseconds for which progress gathers. */
const GATHER = 1000

/** Gathers the jobs that have told their progress, and has it written once a second, and before an attempt's end. */
export class ProgressWriter {
  readonly #clock: Clock
  readonly #write: (job: JobRecord) => void
  readonly #writesFirst: boolean
  /** Jobs that told their progress a while ago, and whether that is still to be written. */
  readonly #told = new Map<JobRecord, boolean>()
  #clear: (() => void) | undefined

  /**
   * `write` writes what the record has. `writesFirst`: the first progress of a job is written at once, since other processes
   * wait for it; what follows within a second is gathered.
   */
  constructor(clock: Clock, write: (job: JobRecord) => void, { writesFirst = false } = {}) {
    this.#clock = clock
    this.#write = write
    this.#writesFirst = writesFirst
  }

  /** A job has told its progress. */
  told(job: JobRecord): void {
    const isAtOnce = this.#writesFirst && !this.#told.has(job)
    this.#told.set(job, !isAtOnce)
    this.#clear ??= this.#clock.timer(GATHER, () => this.writeAll())
    if (isAtOnce) this.#write(job)
  }

  /** The job's attempt is over: what it told last is written before that. */
  write(job: JobRecord): void {
    const isLeft = this.#told.get(job)
    this.#told.delete(job)
    if (isLeft === true) this.#write(job)
  }

  /** Writes all that is gathered. */
  writeAll(): void {
    this.close()
    for (const [job, isLeft] of [...this.#told]) {
      if (isLeft && this.#writesFirst) this.#told.set(job, false)
      else this.#told.delete(job)
      if (isLeft) this.#write(job)
    }
    if (this.#told.size > 0) this.#clear = this.#clock.timer(GATHER, () => this.writeAll())
  }

  /** Stops the timer. */
  close(): void {
    this.#clear?.()
    this.#clear = undefined
  }
}
