/** The lines of batches: which one a job of this process stands in, behind whom, and how it leaves it. */
import type { JobRecord } from '../../rules/job-record.ts'
import { isTerminal } from '../../words/job.ts'
import type { Writes } from './insist.ts'
import { type Lines, memberOf } from './lines.ts'
import { queueOf } from './queues.ts'

/** Jobs of this process in the lines of their batches. */
export class BatchLines {
  readonly #lines: Lines
  readonly #writes: Writes
  readonly #lineOf = new WeakMap<JobRecord, string>()
  /** The job of its batch that one stands behind. */
  readonly #behind = new WeakMap<JobRecord, JobRecord>()

  constructor(lines: Lines, writes: Writes) {
    this.#lines = lines
    this.#writes = writes
  }

  of(job: JobRecord): string | undefined {
    return this.#lineOf.get(job)
  }

  /** Puts a job behind another, whose id is given. True when that one had no line until now. */
  stand(job: JobRecord, after: JobRecord, idOfAfter: string): boolean {
    const known = this.#lineOf.get(after)
    const line = known ?? `b:${idOfAfter}`
    if (known === undefined) this.#lineOf.set(after, line)
    this.#lineOf.set(job, line)
    this.#behind.set(job, after)
    return known === undefined
  }

  isBlocked(job: JobRecord): boolean {
    const before = this.#behind.get(job)
    return before !== undefined && !isTerminal(before.state)
  }

  /** A job is over that may be in a line without the one who ended it knowing. */
  leave(job: JobRecord, id: string, stop: boolean): void {
    const line = this.#lineOf.get(job)
    if (line === undefined) return
    const member = memberOf(queueOf(job.entry), id)
    this.#writes.insist(() => this.#lines.leave(line, member, stop)).catch(() => {})
  }
}
