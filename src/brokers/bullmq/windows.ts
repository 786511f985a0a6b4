/** Fetched jobs that wait for a thread of this process, by pool. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Lease } from './leases.ts'
import { byAge } from './stored-job.ts'

/** One short list for each pool: best priority first; of one priority, in the order in which they were accepted. */
export class Windows {
  readonly #byPool = new Map<string, Lease[]>()

  peek(pool: string): JobRecord | undefined {
    return this.#byPool.get(pool)?.[0]?.job
  }

  shift(pool: string): Lease | undefined {
    return this.#byPool.get(pool)?.shift()
  }

  enter(lease: Lease): void {
    const { pool } = lease.feed
    const window = this.#byPool.get(pool) ?? []
    this.#byPool.set(pool, window)
    let at = window.length
    while (at > 0 && !comesBefore(window[at - 1] as Lease, lease)) at--
    window.splice(at, 0, lease)
  }

  /** False when it does not wait here. */
  leave(job: JobRecord, pool: string): boolean {
    const window = this.#byPool.get(pool) ?? []
    const at = window.findIndex((lease) => lease.job === job)
    if (at >= 0) window.splice(at, 1)
    return at >= 0
  }

  /** Takes all out of a pool. */
  empty(pool: string): Lease[] {
    return this.#byPool.get(pool)?.splice(0) ?? []
  }

  get pools(): string[] {
    return [...this.#byPool.keys()]
  }

  /** Pools with a job that has waited since before this time: it may stand behind jobs that came later and are more urgent. */
  lateSince(time: number): string[] {
    return this.pools.filter((pool) => this.#byPool.get(pool)?.some(({ fetchedAt }) => fetchedAt < time))
  }

  /** Jobs that wait: the store counts them as running. */
  get size(): number {
    let sum = 0
    for (const window of this.#byPool.values()) sum += window.length
    return sum
  }
}

function comesBefore(one: Lease, other: Lease): boolean {
  if (one.job.priority !== other.job.priority) return one.job.priority > other.job.priority
  return byAge({ id: one.id, at: one.data.a }, { id: other.id, at: other.data.a }) < 0
}
