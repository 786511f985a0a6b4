/**
 * Tasks whose jobs keep ending threads. Each such end costs the pool a thread's start, so after a few in a row the task
 * is held back, alone: jobs of other tasks go before its own, and its own go one at a time, each after a longer wait
 * than the one before. Where no other task needs the pool nobody has anything of that wait, and the next goes at once.
 * The first attempt that does no harm ends the hold.
 */
import type { ReadyJobs } from '../brokers/port/broker.ts'
import type { Pool } from '../pools/pool.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { TaskEntry } from '../rules/registry.ts'
import type { Clock } from '../words/clock.ts'

/** Threads that a task may end in a row before it is held back. */
const PATIENCE = 3
const FIRST_WAIT = 1000
const LONGEST_WAIT = 30_000
const LONGEST_RETRY = 5000
/** Milliseconds without a job of another task, after which a pool counts as one that only the held task needs. */
const QUIET = 250
/** Between two jobs of a held task, however quiet it is: a thread's start takes time of the event loop too. */
const LEAST_WAIT = 25

/** What is known of a task that ends threads. */
interface Hold {
  readonly entry: TaskEntry
  /** Threads that it has ended in a row. */
  deaths: number
  /** Jobs that were let through and have not shown yet what they do. */
  out: number
  /** True while no job of it may start; false while it is not held, or the next may. */
  isShut: boolean
  letAt: number
  until: number
  clearTimer: (() => void) | undefined
}

/** What holds need of the engine. */
export interface HoldParts {
  readonly ready: ReadyJobs
  readonly clock: Clock
  readonly pools: ReadonlyMap<string, Pool>
  /** Jobs of a pool may be started. */
  readonly wake: (pool: string) => void
}

/** Decides when jobs of a task that ends threads may start. */
export class CrashHolds {
  /** True while a task is held back; there is nothing to ask otherwise. */
  isAny = false
  /** Tasks that have ended a thread since they last completed a job. */
  count = 0
  readonly #parts: HoldParts
  readonly #holds = new Map<TaskEntry, Hold>()
  /** When a job of a task that is not held was last sent, by pool. */
  readonly #othersAt = new Map<string, number>()

  constructor(parts: HoldParts) {
    this.#parts = parts
  }

  /** True while jobs of this task wait for more than a thread. */
  isShut(entry: TaskEntry): boolean {
    return this.#holds.get(entry)?.isShut === true
  }

  /** True while jobs of this task start one at a time. */
  isHeld(entry: TaskEntry): boolean {
    return (this.#holds.get(entry)?.deaths ?? 0) >= PATIENCE
  }

  /** An attempt of this task has ended its thread. */
  died(entry: TaskEntry): void {
    const hold = this.#holdOf(entry)
    const isHeld = hold.deaths >= PATIENCE
    // It was sent before the hold began: what it does is no answer to the hold.
    if (isHeld && hold.out === 0) return
    hold.out = Math.max(0, hold.out - 1)
    hold.deaths++
    if (hold.deaths < PATIENCE) return
    const now = this.#parts.clock.now()
    if (!isHeld) {
      this.isAny = true
      hold.letAt = now
      this.#othersAt.set(entry.task.policy.pool, now)
    }
    this.#shut(hold, now)
  }

  /** An attempt of this task has ended and done no harm. */
  lived(entry: TaskEntry): void {
    const hold = this.#holds.get(entry)
    if (hold === undefined) return
    this.#holds.delete(entry)
    hold.clearTimer?.()
    this.count = this.#holds.size
    this.isAny = [...this.#holds.values()].some(({ deaths }) => deaths >= PATIENCE)
    if (hold.isShut) this.#open(hold)
  }

  /** A job is on its way to a thread. True when it is one of a held task, which is to travel alone. */
  claimed(job: JobRecord): boolean {
    const { entry } = job
    const now = this.#parts.clock.now()
    const hold = this.#holds.get(entry)
    if (hold === undefined || hold.deaths < PATIENCE) {
      this.#othersAt.set(entry.task.policy.pool, now)
      return false
    }
    hold.out++
    hold.letAt = now
    this.#shut(hold, now)
    return true
  }

  /** How long a job that has ended its thread is to wait, where the broker cannot hold back its whole task. */
  retryDelay(entry: TaskEntry): number {
    const hold = this.#holds.get(entry)
    if (hold === undefined || hold.deaths < PATIENCE || this.#parts.ready.holdsTasks) return 0
    return Math.min(FIRST_WAIT * 2 ** (hold.deaths - PATIENCE), LONGEST_RETRY)
  }

  /** Starts no more timers. */
  close(): void {
    for (const hold of this.#holds.values()) hold.clearTimer?.()
    this.#holds.clear()
    this.isAny = false
    this.count = 0
  }

  #holdOf(entry: TaskEntry): Hold {
    let hold = this.#holds.get(entry)
    if (hold === undefined) {
      hold = { entry, deaths: 0, out: 0, isShut: false, letAt: 0, until: 0, clearTimer: undefined }
      this.#holds.set(entry, hold)
      this.count = this.#holds.size
    }
    return hold
  }

  /** The next job waits. One that has not shown yet what it does keeps the others no longer than the wait either. */
  #shut(hold: Hold, now: number): void {
    hold.until = now + Math.min(FIRST_WAIT * 2 ** (hold.deaths - PATIENCE), LONGEST_WAIT)
    if (!hold.isShut) {
      hold.isShut = true
      this.#parts.ready.hold(hold.entry, true)
    }
    this.#arm(hold, now)
  }

  #open(hold: Hold): void {
    hold.isShut = false
    this.#parts.ready.hold(hold.entry, false)
    this.#parts.wake(hold.entry.task.policy.pool)
  }

  #arm(hold: Hold, now: number): void {
    hold.clearTimer?.()
    const at = Math.min(hold.until, this.#quietAt(hold))
    hold.clearTimer = this.#parts.clock.timer(Math.max(1, at - now), () => this.#look(hold))
  }

  #look(hold: Hold): void {
    const now = this.#parts.clock.now()
    if (now >= hold.until) return this.#open(hold)
    if (this.#isNeeded(hold.entry.task.policy.pool)) this.#othersAt.set(hold.entry.task.policy.pool, now)
    else if (now >= this.#quietAt(hold)) return this.#open(hold)
    this.#arm(hold, now)
  }

  #quietAt({ entry, letAt }: Hold): number {
    const othersAt = this.#othersAt.get(entry.task.policy.pool) ?? 0
    return Math.max(othersAt + QUIET, letAt + LEAST_WAIT)
  }

  /** True when a job waits there, or runs where the end of a thread would cut it off. */
  #isNeeded(name: string): boolean {
    if (this.#parts.ready.peek(name) !== undefined) return true
    const pool = this.#parts.pools.get(name)
    if (pool === undefined) return false
    return [...pool.lanes].some((lane) => lane.concurrency > 1 && lane.inFlight.size > 0)
  }
}
