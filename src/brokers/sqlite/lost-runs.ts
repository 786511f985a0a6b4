/**
 * Runs of jobs that are another process's by now. Their outcomes do not count. Whoever holds a handle of such a job has the
 * record of the run, and the end that counts is told on a record of its own: both are brought together here.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import { isTerminal } from '../../words/job.ts'

/** Holds the records that run here for nothing. */
export class LostRuns {
  /** With each run the record on which the end of its job was told. */
  readonly #ends = new Map<JobRecord, JobRecord | undefined>()

  add(run: JobRecord): void {
    this.#ends.set(run, undefined)
  }

  has(run: JobRecord): boolean {
    return this.#ends.has(run)
  }

  /** The end of a job is about to be told on this record: who waits for it on the record of a lost run hears it as well. */
  told(end: JobRecord): void {
    for (const run of this.#ends.keys()) {
      if (run.seq !== end.seq || run === end) continue
      this.#ends.set(run, end)
      share(run, end)
    }
  }

  /** The run is over. Returns the record on which the end of its job was told, if the job has not started over since. */
  leave(run: JobRecord): JobRecord | undefined {
    const end = this.#ends.get(run)
    this.#ends.delete(run)
    return end !== undefined && isTerminal(end.state) ? end : undefined
  }
}

/** Who waits for a job's end on one record hears it when it is told on another. */
export function share(from: JobRecord, to: JobRecord): void {
  const settle = from.extras?.settle
  if (settle === undefined) return
  const other = to.extras?.settle
  if (other === undefined) to.more.settle = settle
  else if (other !== settle) void other.promise.then(settle.resolve)
}

/** Brings the record of a run to the end that was told on another. */
export function endAs(
  run: JobRecord,
  { state, attempts, failures, crashes, readyAt, result, extras }: JobRecord,
): void {
  Object.assign(run, { state, attempts, failures, crashes, readyAt, result })
  const { more } = run
  more.errors = extras?.errors ?? []
  more.reason = extras?.reason
  if (state !== 'dead') run.payload = undefined
}
