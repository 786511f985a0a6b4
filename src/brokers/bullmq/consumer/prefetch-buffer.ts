/** Fetched jobs that wait for a thread of this process, by pool. */
import type { JobRecord } from '../../../rules/job-record.ts'
import { byAge } from '../store/job-data.ts'
import type { Lease } from './leases.ts'

/** One short list for each pool: best priority first; of one priority, in the order in which they were accepted. */
export class PrefetchBuffer {
  readonly #byPool = new Map<string, Lease[]>()

  peek(pool: string): JobRecord | undefined {
    return this.#byPool.get(pool)?.[0]?.job
  }

  shift(pool: string): Lease | undefined {
    return this.#byPool.get(pool)?.shift()
  }

  enter(lease: Lease): void {
    const { pool } = lease.loop.of
    const list = this.#byPool.get(pool) ?? []
    this.#byPool.set(pool, list)
    let at = list.length
    while (at > 0 && !comesBefore(list[at - 1] as Lease, lease)) at--
    list.splice(at, 0, lease)
  }

  /** False when it does not wait here. */
  leave(lease: Lease): boolean {
    const list = this.#byPool.get(lease.loop.of.pool) ?? []
    const at = list.indexOf(lease)
    if (at >= 0) list.splice(at, 1)
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
    return this.pools.filter((pool) => this.#byPool.get(pool)?.some(({ bufferedAt }) => bufferedAt < time))
  }

  /** Jobs that wait: the store counts them as running. */
  get size(): number {
    let sum = 0
    for (const list of this.#byPool.values()) sum += list.length
    return sum
  }
}

function comesBefore(one: Lease, other: Lease): boolean {
  if (one.job.priority !== other.job.priority) return one.job.priority > other.job.priority
  return byAge({ id: one.id, at: one.data.a }, { id: other.id, at: other.data.a }) < 0
}
