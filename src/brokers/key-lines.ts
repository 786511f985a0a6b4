/** The lines of jobs that share a key: one runs, the others wait in the order in which they could have run. */
import type { JobRecord } from '../rules/job-record.ts'

interface Line {
  holder: JobRecord
  last: JobRecord
}

/** Who holds each key, and who comes next. */
export class KeyLines {
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
    line.last = job
    return false
  }

  /** The job is over: returns the one that holds the key from now on. Those that were cancelled in line are passed over. */
  leave(key: string, job: JobRecord): JobRecord | undefined {
    const line = this.#lines.get(key)
    if (line === undefined || line.holder !== job) return undefined
    let next = follower(job)
    while (next !== undefined && next.state !== 'waiting') next = follower(next)
    if (next === undefined) this.#lines.delete(key)
    else line.holder = next
    return next
  }
}

function follower(job: JobRecord): JobRecord | undefined {
  const next = job.extras?.nextOfKey
  if (job.extras) job.extras.nextOfKey = undefined
  return next
}
