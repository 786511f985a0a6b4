/** The lines of jobs that share a key: one runs, the others wait in the order in which they could have run. */
import type { JobRecord } from '../../rules/job-record.ts'

interface Line {
  holder: JobRecord
  last: JobRecord
}

/** Who holds each key, and who comes next. */
export class KeyLocks {
  readonly #lines = new Map<string, Line>()

  /** True when the job holds the key now; otherwise it waits in line. A job that is back for a retry still holds its key. */
  join(key: string, job: JobRecord): boolean {
    const line = this.#lines.get(key)
    if (line === undefined) {
      this.#lines.set(key, { holder: job, last: job })
      return true
    }
    if (line.holder === job) return true
    line.last.more.nextOfKey = job
    job.more.previousOfKey = line.last
    line.last = job
    return false
  }

  /** The job is over, whether it held the key or waited: returns the one that holds the key from now on, if that changes. */
  leave(key: string, job: JobRecord): JobRecord | undefined {
    const line = this.#lines.get(key)
    const { nextOfKey: next, previousOfKey: previous } = job.more
    if (line === undefined || (line.holder !== job && previous === undefined)) return undefined
    job.more.nextOfKey = undefined
    job.more.previousOfKey = undefined
    if (next !== undefined) next.more.previousOfKey = previous
    if (previous !== undefined) {
      previous.more.nextOfKey = next
      if (line.last === job) line.last = previous
      return undefined
    }
    if (next === undefined) this.#lines.delete(key)
    else line.holder = next
    return next
  }
}
