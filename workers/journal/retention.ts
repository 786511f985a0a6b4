/** Lets go of jobs that are over, oldest first, a few at a time: no commit waits for a large clearance. */
import type { JournalSetup } from '../../src/rules/journal-protocol.ts'
import { COMPLETED, DEAD } from '../../src/rules/journal-protocol.ts'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'
import type { Transaction } from './transaction.ts'

const STEP = 256
/** Milliseconds between looks at ages. */
const LOOK_EVERY = 1000
// The wall clock was set when it has moved by more against the clock that nobody sets. After that nothing counts as old for
// a while: it may be set right again.
const JUMP = 60_000
const UNSETTLED = 600_000
// Nobody has opened the file for longer, or the clock is wrong since the machine has started.
const LONG_AWAY = 365 * 86_400_000
/** Where finished jobs of all tasks are that have no rule of their own. */
const COMMON = 0

type Rows = readonly (readonly unknown[])[]

/** Keeps finished jobs by count and age, those of some tasks by the task's own rule, and dead ones by their own age. */
export class Retention {
  readonly #sql: Statements
  readonly #transaction: Transaction
  readonly #numbers: TaskNumbers
  readonly #limits: JournalSetup['retention']
  /** The clock that nobody sets; undefined where the time that is told is set by nobody. */
  readonly #steady: (() => number) | undefined
  /** How far the wall clock is from that one. */
  #offset: number | undefined
  #unsettledUntil = Number.NEGATIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY
  /** True when the last look at ages has left more that are too old. */
  #hasOld = false

  constructor(
    sql: Statements,
    transaction: Transaction,
    numbers: TaskNumbers,
    limits: JournalSetup['retention'],
    steady: (() => number) | undefined,
  ) {
    this.#steady = steady
    this.#sql = sql
    this.#transaction = transaction
    this.#numbers = numbers
    this.#limits = limits
  }

  /** The file is opened, in which somebody wrote last at that time. */
  opened(now: number, lastAt: number | undefined): void {
    if (lastAt !== undefined && now - lastAt > LONG_AWAY)
      this.#unsettledUntil = (this.#steady?.() ?? now) + UNSETTLED
  }

  /** True when a step has left more to let go of. */
  get isBehind(): boolean {
    return this.#hasOld || this.#shelves().some((shelf) => this.#over(shelf) >= STEP)
  }

  /** One small step, inside of a transaction. */
  step(now: number): void {
    for (const shelf of this.#shelves()) {
      const over = this.#over(shelf)
      const isDue = over >= STEP || (over > 0 && this.#limitsOf(shelf).count < STEP)
      if (isDue) this.#drop(this.#sql.oldest.all(shelf, Math.min(over, 4 * STEP)))
    }
    if (!this.#hasOld && Math.abs(now - this.#lookedAt) < LOOK_EVERY) return
    this.#lookedAt = now
    this.#hasOld = false
    if (!this.#isSettled(now)) return
    for (const shelf of this.#shelves()) {
      const { age } = this.#limitsOf(shelf)
      if (age !== Number.POSITIVE_INFINITY)
        this.#dropOld(this.#sql.oldestBefore.all(shelf, now - age, 4 * STEP))
    }
    const { dead } = this.#limits
    if (dead !== Number.POSITIVE_INFINITY) this.#dropOld(this.#sql.deadBefore.all(now - dead, 4 * STEP))
  }

  #isSettled(now: number): boolean {
    const steady = this.#steady?.() ?? now
    const offset = now - steady
    if (Math.abs(offset - (this.#offset ?? offset)) > JUMP) this.#unsettledUntil = steady + UNSETTLED
    this.#offset = offset
    return steady >= this.#unsettledUntil
  }

  /** Forgets one job that is over. */
  remove(n: number): boolean {
    return this.#drop(this.#sql.stateAndShelf.all(n)) === 1
  }

  #shelves(): number[] {
    return [COMMON, ...this.#transaction.shelves.keys()]
  }

  /** A shelf whose task is gone, or has no rule any more, is kept as all others are. */
  #limitsOf(shelf: number): { readonly count: number; readonly age: number } {
    const own = shelf === COMMON ? undefined : this.#numbers.tasks[this.#numbers.indexOf(shelf)]?.retention
    return own ?? this.#limits
  }

  #over(shelf: number): number {
    const { counts, shelves } = this.#transaction
    const { count } = this.#limitsOf(shelf)
    if (shelf !== COMMON) return (shelves.get(shelf) ?? 0) - count
    return sum(counts.slice(COMPLETED, DEAD)) - sum([...shelves.values()]) - count
  }

  #dropOld(rows: Rows): void {
    if (this.#drop(rows) === 4 * STEP) this.#hasOld = true
  }

  /** Returns how many it has let go of. */
  #drop(rows: Rows): number {
    const sql = this.#sql
    const { counts } = this.#transaction
    let dropped = 0
    for (const [n, state, shelf] of rows as readonly (readonly [number, number, number])[]) {
      if (Number(sql.remove.run(n).changes) === 0) continue
      sql.removeAttempts.run(n)
      sql.removeLogs.run(n)
      counts[state] = (counts[state] ?? 0) - 1
      this.#transaction.shelve(shelf, state, -1)
      dropped++
    }
    return dropped
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
