/** Lets go of jobs that are over, oldest first, a few at a time: no commit waits for a large clearance. */
import type { JournalSetup } from '../../src/rules/journal-protocol.ts'
import { COMPLETED, DEAD } from '../../src/rules/journal-protocol.ts'
import type { Statements } from './statements.ts'
import type { Turn } from './turn.ts'

const STEP = 256
/** Milliseconds between looks at ages. */
const LOOK_EVERY = 1000

/** Keeps finished jobs by count and age, and dead ones by their own age. */
export class Retention {
  readonly #sql: Statements
  readonly #turn: Turn
  readonly #limits: JournalSetup['retention']
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(sql: Statements, turn: Turn, limits: JournalSetup['retention']) {
    this.#sql = sql
    this.#turn = turn
    this.#limits = limits
  }

  /** True when a step has left more to let go of. */
  get isBehind(): boolean {
    return sum(this.#turn.counts.slice(COMPLETED, DEAD)) - this.#limits.count >= STEP
  }

  /** One small step, inside of a transaction. */
  step(now: number): void {
    const { counts } = this.#turn
    const sql = this.#sql
    const { count, age, dead } = this.#limits
    const over = sum(counts.slice(COMPLETED, DEAD)) - count
    if (over >= STEP || (over > 0 && count < STEP)) this.#drop(sql.oldest.all(Math.min(over, 4 * STEP)))
    if (Math.abs(now - this.#lookedAt) < LOOK_EVERY) return
    this.#lookedAt = now
    if (age !== Number.POSITIVE_INFINITY) this.#drop(sql.oldestBefore.all(now - age, STEP))
    if (dead !== Number.POSITIVE_INFINITY) this.#drop(sql.deadBefore.all(now - dead, STEP))
  }

  /** Forgets one job that is over. */
  remove(n: number): boolean {
    const state = this.#sql.row.get(n)?.[2] as number | undefined
    if (state === undefined || state < COMPLETED) return false
    this.#drop([[n, state]])
    return true
  }

  #drop(rows: readonly (readonly unknown[])[]): void {
    const sql = this.#sql
    const { counts } = this.#turn
    for (const [n, state] of rows as readonly (readonly [number, number])[]) {
      if (Number(sql.remove.run(n).changes) === 0) continue
      sql.removeAttempts.run(n)
      counts[state] = (counts[state] ?? 0) - 1
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
