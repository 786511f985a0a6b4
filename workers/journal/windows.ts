/**
 * How many jobs each pool is granted at a time, and which. What is granted is in the event loop's memory and waits for
 * nothing but a thread; the rest is on disk only (spilled) and costs no memory. A job that would run before what is
 * spilled is granted even when the window is full, so the order of ranks holds.
 */
import type { JournalTask } from '../../src/rules/journal-protocol.ts'

// Beyond its size the window takes jobs that go before others, up to this many times over.
const STRETCH = 4
/** Granted jobs of a task beyond its concurrency, at most: enough to go on with, few enough to leave room to others. */
const SLACK = 64

interface Counts {
  /** By pool: jobs granted, and the last rank among them. */
  granted: number[]
  worst: number[]
  /** By task: jobs granted and spilled, and a rank that none of the spilled ones is before. */
  grantedOf: number[]
  spilled: number[]
  horizon: number[]
}

/** Grants and counts; `save` and `restore` go with a transaction. */
export class Windows {
  /** The tasks of each pool. */
  readonly pools: readonly (readonly number[])[]
  readonly #poolOf: readonly number[]
  readonly #caps: readonly number[]
  readonly #size: number
  /** True when a task has a limit, so that it matters what others were granted. */
  readonly isLimited: boolean
  /** True when other processes are granted jobs of the file too. */
  readonly isShared: boolean
  /** By task: jobs granted to other processes. */
  #others: ReadonlyMap<number, number> = new Map()
  readonly #names: readonly string[]
  /** Pools that are granted nothing. */
  readonly #paused = new Set<number>()
  #counts: Counts
  #saved: Counts

  constructor(tasks: readonly JournalTask[], size: number, isShared: boolean) {
    const names = [...new Set(tasks.map((task) => task.pool))]
    this.#names = names
    this.#poolOf = tasks.map((task) => names.indexOf(task.pool))
    this.pools = names.map((_, pool) => [...tasks.keys()].filter((task) => this.#poolOf[task] === pool))
    const limited = tasks.filter((task) => task.concurrency !== Number.POSITIVE_INFINITY).length
    this.isLimited = limited > 0
    // What is granted in a shared file counts as running: it keeps the others from running as many.
    const slack = isShared ? 0 : Math.min(SLACK, Math.floor(size / (4 * limited)))
    this.#caps = tasks.map((task) => task.concurrency + slack)
    this.#size = size
    this.isShared = isShared
    this.#counts = {
      granted: names.map(() => 0),
      worst: names.map(() => Number.NEGATIVE_INFINITY),
      grantedOf: tasks.map(() => 0),
      spilled: tasks.map(() => 0),
      horizon: tasks.map(() => Number.POSITIVE_INFINITY),
    }
    this.#saved = copy(this.#counts)
  }

  save(): void {
    this.#saved = copy(this.#counts)
  }

  restore(): void {
    this.#counts = this.#saved
  }

  /** Where the counts stand within a transaction; the call takes back what was done since. */
  mark(): () => void {
    const counts = copy(this.#counts)
    return () => {
      this.#counts = counts
    }
  }

  /** Decides about a job that has become available, and counts it where it goes. -1 is a task that is not known here. */
  admit(task: number, rank: number): boolean {
    if (task < 0) return false
    if (this.#admits(task, rank)) {
      this.grant(task, rank)
      return true
    }
    const { spilled, horizon } = this.#counts
    spilled[task] = at(spilled, task) + 1
    horizon[task] = Math.min(at(horizon, task), rank)
    return false
  }

  /** A pool is to be granted nothing, or it is again. */
  pause(pool: string, isPaused: boolean): void {
    const index = this.#names.indexOf(pool)
    if (isPaused) this.#paused.add(index)
    else this.#paused.delete(index)
  }

  /** A granted job is spilled again. */
  giveBack(task: number, rank: number): void {
    if (task < 0) return
    this.leave(task)
    const { spilled, horizon } = this.#counts
    spilled[task] = at(spilled, task) + 1
    horizon[task] = Math.min(at(horizon, task), rank)
  }

  /** Counts a granted job. */
  grant(task: number, rank: number): void {
    const pool = at(this.#poolOf, task)
    const { granted, grantedOf, worst } = this.#counts
    granted[pool] = at(granted, pool) + 1
    grantedOf[task] = at(grantedOf, task) + 1
    worst[pool] = Math.max(at(worst, pool), rank)
  }

  /** A granted job has left the window. */
  leave(task: number): void {
    if (task < 0) return
    const pool = at(this.#poolOf, task)
    const { granted, grantedOf, worst } = this.#counts
    granted[pool] = at(granted, pool) - 1
    grantedOf[task] = at(grantedOf, task) - 1
    if (granted[pool] === 0) worst[pool] = Number.NEGATIVE_INFINITY
  }

  /** A spilled job is gone from there; the next of its task is at `horizon` or later. */
  unspill(task: number, horizon?: number): void {
    if (task < 0) return
    const { spilled, horizon: horizons } = this.#counts
    spilled[task] = Math.max(0, at(spilled, task) - 1)
    if (spilled[task] === 0) horizons[task] = Number.POSITIVE_INFINITY
    else if (horizon !== undefined) horizons[task] = horizon
  }

  /** Sets what other processes were granted. */
  setOthers(granted: ReadonlyMap<number, number>): void {
    this.#others = granted
  }

  /** Sets what is spilled of a task, when it was looked up. */
  setSpilled(task: number, count: number, horizon: number): void {
    this.#counts.spilled[task] = count
    this.#counts.horizon[task] = count === 0 ? Number.POSITIVE_INFINITY : horizon
  }

  /** Tasks of a pool that have spilled jobs and may be granted more, when it is time to refill the pool. */
  wanting(pool: number): number[] {
    const { granted } = this.#counts
    if (this.#paused.has(pool) || at(granted, pool) > this.#size / 2) return []
    return (this.pools[pool] ?? []).filter((task) => this.#isEligible(task))
  }

  /** How many jobs a pool, or a task, may still be granted. */
  room(pool: number): number {
    return this.#size - at(this.#counts.granted, pool)
  }

  roomOf(task: number): number {
    return at(this.#caps, task) - at(this.#counts.grantedOf, task) - (this.#others.get(task) ?? 0)
  }

  #isEligible(task: number): boolean {
    return at(this.#counts.spilled, task) > 0 && this.roomOf(task) > 0
  }

  #admits(task: number, rank: number): boolean {
    const pool = at(this.#poolOf, task)
    if (this.#paused.has(pool)) return false
    const tasks = this.pools[pool] ?? []
    const { granted, worst, horizon } = this.#counts
    const isBehind = tasks.some((other) => this.#isEligible(other))
    if (!isBehind && at(granted, pool) < this.#size && this.roomOf(task) > 0) return true
    if (at(granted, pool) >= this.#size * STRETCH || this.roomOf(task) <= 0) return false
    return (
      rank < at(worst, pool) && tasks.every((other) => !this.#isEligible(other) || rank < at(horizon, other))
    )
  }
}

function at(list: readonly number[], index: number): number {
  return list[index] as number
}

function copy(counts: Counts): Counts {
  return {
    granted: [...counts.granted],
    worst: [...counts.worst],
    grantedOf: [...counts.grantedOf],
    spilled: [...counts.spilled],
    horizon: [...counts.horizon],
  }
}
