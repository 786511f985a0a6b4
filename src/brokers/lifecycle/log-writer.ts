/** Lines of jobs on their way to where jobs are kept: gathered for a second, and written before the end of their attempt. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { KeptLine } from '../../rules/log-lines.ts'
import type { Clock } from '../../words/clock.ts'
import type { LogLimits } from '../../words/job.ts'
import { KeptLines } from './kept-lines.ts'

/** Milliseconds for which lines gather. */
const GATHER = 1000

/** Gathers lines by job. Of a job that says more than is kept the oldest are never written. */
export class LogWriter {
  readonly #clock: Clock
  readonly #write: (job: JobRecord, log: KeptLines) => void
  readonly #gathered = new Map<JobRecord, KeptLines>()
  #clear: (() => void) | undefined

  constructor(clock: Clock, write: (job: JobRecord, log: KeptLines) => void) {
    this.#clock = clock
    this.#write = write
  }

  add(job: JobRecord, line: KeptLine, limits: LogLimits): void {
    let log = this.#gathered.get(job)
    if (log === undefined) {
      log = new KeptLines(limits)
      this.#gathered.set(job, log)
    }
    log.add(line)
    this.#clear ??= this.#clock.timer(GATHER, () => this.writeAll())
  }

  /** The job's attempt is over, or somebody asks for its lines. */
  write(job: JobRecord): void {
    if (this.#gathered.size === 0) return
    const log = this.#gathered.get(job)
    if (log === undefined) return
    this.#gathered.delete(job)
    this.#write(job, log)
    if (this.#gathered.size === 0) this.close()
  }

  /** Writes all that is gathered. */
  writeAll(): void {
    for (const job of [...this.#gathered.keys()]) this.write(job)
    this.close()
  }

  /** Stops the timer. */
  close(): void {
    this.#clear?.()
    this.#clear = undefined
  }
}
