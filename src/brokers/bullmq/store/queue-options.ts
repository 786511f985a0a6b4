/** What BullMQ's queues are opened with. */

/** The subpath of this library that needs BullMQ. */
export const SUBPATH = 'aftertask/bullmq'

/** Which finished jobs are kept: how many, and for how many milliseconds. */
export interface Retention {
  readonly count: number
  readonly age: number
}

/** Which finished jobs BullMQ keeps: `true` for none; the age is in seconds. */
export function keepOf({ count, age }: Retention): true | { count: number; age?: number } {
  if (count === 0) return true
  return Number.isFinite(age) ? { count, age: Math.ceil(age / 1000) } : { count }
}

/** The options of BullMQ that follow from ours. A job that stalls is judged by us, so BullMQ never gives up on one. */
export function backendOptions({ lease, retention }: { lease: number; retention: Retention }): object {
  const keep = keepOf(retention)
  return {
    lockDuration: lease,
    stalledInterval: stalledInterval(lease),
    maxStalledCount: 1_000_000,
    removeOnComplete: keep,
    removeOnFail: keep,
  }
}

/**
 * How often workers look for jobs whose lease has run out, in milliseconds. The store lets one look in so long a time, so
 * that a look which comes a little too early is put off by another interval: two of them are at most a quarter of a lease.
 */
export function stalledInterval(lease: number): number {
  return Math.round(lease / 8)
}
