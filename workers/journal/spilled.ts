/** Jobs that are available and granted to nobody: they are on disk only, and come into a window as it empties. */
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'
import type { Transaction } from './transaction.ts'
import type { Windows } from './windows.ts'

/** Counts and grants what is spilled. */
export class Spilled {
  /** Unfinished jobs of tasks that this process does not have: they wait for one that does. */
  strangers = 0
  readonly #sql: Statements
  readonly #transaction: Transaction
  readonly #windows: Windows
  readonly #numbers: TaskNumbers

  constructor(sql: Statements, transaction: Transaction, windows: Windows, numbers: TaskNumbers) {
    this.#sql = sql
    this.#transaction = transaction
    this.#windows = windows
    this.#numbers = numbers
  }

  /** Grants what is spilled, best first, to pools that have become half empty. */
  grant(): void {
    for (const pool of this.#windows.pools.keys()) {
      const tasks = this.#windows.wanting(pool)
      if (tasks.length > 0) this.#refill(pool, tasks)
    }
  }

  /** Counts what is spilled, at the start. */
  count(): void {
    const rows = this.#sql.spilledCounts.all() as readonly (readonly [number, number, number])[]
    for (const [id, count, rank] of rows) {
      const task = this.#numbers.indexOf(id)
      if (task !== -1) this.#windows.setSpilled(task, count, rank)
    }
    const names = this.#sql.names.all() as readonly (readonly [number])[]
    for (const [id] of names) {
      if (this.#numbers.indexOf(id) === -1) this.strangers += this.#sql.unfinishedOf.get(id)?.[0] as number
    }
  }

  /** Looks what is spilled now, where other processes add to it and take from it. How much that is matters to nobody. */
  look(): void {
    for (const task of this.#numbers.tasks.keys()) {
      const first = this.#sql.spilled.all(this.#numbers.nameIdOf(task), 1)[0]
      if (first === undefined) this.#windows.setSpilled(task, 0, 0)
      else this.#windows.setSpilled(task, Number.POSITIVE_INFINITY, first[1] as number)
    }
  }

  /** In a shared file a task's concurrency counts over all processes: looks what the others were granted. */
  lookAtOthers(): void {
    if (!this.#windows.isLimited) return
    const rows = this.#sql.grantedToOthers.all(this.#transaction.run) as readonly (readonly [
      number,
      number,
    ])[]
    this.#windows.setOthers(new Map(rows.map(([id, count]) => [this.#numbers.indexOf(id), count])))
  }

  #refill(pool: number, tasks: readonly number[]): void {
    const room = this.#windows.room(pool)
    const share = Math.max(64, Math.ceil((2 * room) / tasks.length))
    let bound = Number.POSITIVE_INFINITY
    const found: { n: number; rank: number; task: number }[] = []
    for (const task of tasks) {
      const limit = Math.min(share, this.#windows.roomOf(task), room)
      const rows = this.#sql.spilled.all(this.#numbers.nameIdOf(task), limit)
      for (const [n, rank] of rows) found.push({ n: n as number, rank: rank as number, task })
      // What lies behind the last one of a full list has not been seen.
      if (rows.length === limit && limit === share) bound = Math.min(bound, rows.at(-1)?.[1] as number)
      if (rows.length === 0) this.#windows.setSpilled(task, 0, 0)
    }
    found.sort((a, b) => a.rank - b.rank || a.n - b.n)
    for (const { n, rank, task } of found.slice(0, room)) {
      if (rank > bound) break
      this.#windows.unspill(task, rank)
      const taken = this.#sql.take.get(this.#transaction.run, n)
      if (taken === undefined) continue
      if (taken[0] !== null) this.#transaction.isDueDirty = true
      this.#windows.grant(task, rank)
      this.#transaction.toSend.push(n)
    }
  }
}
