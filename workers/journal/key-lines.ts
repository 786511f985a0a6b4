/** The lines of jobs that share a key: one holds it, the others wait in the order in which they could have run. */
import type { Statements } from './statements.ts'

/** Who holds each key, and who comes next, in the file. */
export class KeyLines {
  readonly #sql: Statements

  constructor(sql: Statements) {
    this.#sql = sql
  }

  /** True when the job holds the key now. */
  take(n: number, key: string): boolean {
    const holder = this.#sql.holder.get(key)?.[0]
    if (holder === n) return true
    if (holder !== undefined) return false
    this.#sql.hold.run(key, n)
    return true
  }

  /** The place behind all who wait. */
  end(key: string): number {
    return Number(this.#sql.lastInLine.get(key)?.[0] ?? 0) + 1
  }

  /** The job is over: returns the one that holds the key from now on, when there is one. */
  leave(n: number, key: string): number | undefined {
    if (this.#sql.holder.get(key)?.[0] !== n) return undefined
    const next = this.#sql.nextInLine.get(key)?.[0] as number | undefined
    if (next === undefined) this.#sql.letGo.run(key, n)
    else this.#sql.hold.run(key, next)
    return next
  }
}
