/** Writes down how far jobs are: once a second for those that have told it, and before an attempt's end. */
import { encode } from '../../rules/codec.ts'
import type { JobRecord } from '../../rules/job-record.ts'
import { OP } from '../../rules/journal-protocol.ts'
import type { Clock } from '../../words/clock.ts'
import type { Outbox } from './outbox.ts'

/** Milliseconds for which progress gathers: a handler may tell it many times a second. */
const GATHER = 1000

/** Gathers the jobs that have told their progress. */
export class ProgressWriter {
  readonly #clock: Clock
  readonly #outbox: Outbox
  readonly #told = new Set<JobRecord>()
  #clear: (() => void) | undefined

  constructor(clock: Clock, outbox: Outbox) {
    this.#clock = clock
    this.#outbox = outbox
  }

  /** A job has told its progress. */
  told(job: JobRecord): void {
    this.#told.add(job)
    this.#clear ??= this.#clock.timer(GATHER, () => this.writeAll())
  }

  /** The job's attempt is over: what it told last goes before that. */
  write(job: JobRecord): void {
    if (!this.#told.delete(job)) return
    this.#outbox.next.ops.push(OP.progress, job.seq, encode(job.extras?.progress, 'progress') ?? null)
  }

  writeAll(): void {
    this.#clear?.()
    this.#clear = undefined
    for (const job of [...this.#told]) this.write(job)
  }
}
