/**
 * Jobs that turn out to be equal to one that another process has added, which within a process could not be: there
 * whoever adds the second is given the first. They never run, and end as the first does.
 */
import { AVAILABLE, TWIN, WAITING } from '../../src/rules/journal-protocol.ts'
import type { Add } from './job-facts.ts'
import type { Notices } from './notices.ts'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'
import type { Transaction } from './transaction.ts'

/** Finds them, takes them in, and ends them. */
export class Twins {
  readonly #sql: Statements
  readonly #transaction: Transaction
  readonly #numbers: TaskNumbers
  readonly #notices: Notices
  #areThere: boolean

  constructor(
    sql: Statements,
    transaction: Transaction,
    numbers: TaskNumbers,
    notices: Notices,
    isShared: boolean,
  ) {
    this.#sql = sql
    this.#transaction = transaction
    this.#numbers = numbers
    this.#notices = notices
    // A file that was shared may still have some.
    this.#areThere = isShared || sql.hasTwins.get() !== undefined
  }

  /** The other job that holds the unique key. */
  firstOf(n: number, uniqueKey: string): number | undefined {
    this.#sql.freeUnique.run(uniqueKey, this.#transaction.now)
    const holder = this.#sql.uniqueHolder.get(uniqueKey)?.[0] as number | undefined
    return holder === n ? undefined : holder
  }

  /** Takes in a job that is equal to another; `after` is the one before it in its batch. */
  add(n: number, first: number, after: number | null, add: Add): void {
    const [seq, task, , stops, priority, accepted, due, , key, , , , payload, rest] = add
    // Also in a file of one process: before it was open, nobody knew whose key that was.
    this.#areThere = true
    const id = this.#numbers.nameIdOf(task)
    const times = [accepted, priority, accepted, accepted, due] as const
    const places = [null, stops ? 1 : 0, key, null, null, null, null] as const
    const { changes } = this.#sql.insert.run(n, id, AVAILABLE, 0, ...times, ...places, payload, rest)
    if (changes === 0) return
    this.#transaction.countIn(WAITING)
    this.#sql.twin.run(after, first, n)
    this.#transaction.reply.moved.push(seq, WAITING)
    // It may hold its key for a time beyond its end.
    if (this.#sql.chain.get(first)?.[0] !== null) this.ended(first)
  }

  /** A job is over, and those that are equal to it end with it. */
  ended(n: number): void {
    if (!this.#areThere) return
    for (const [twin] of this.#sql.twins.all(n) as [number][]) {
      const ended = this.#sql.endTwin.get(n, TWIN, this.#transaction.now, twin)
      const [state, shelf] = ended as readonly [number, number]
      this.#transaction.count(WAITING, state)
      this.#transaction.shelve(shelf, state)
      this.#transaction.toTell.push(twin)
      this.#notices.ended(twin)
    }
  }
}
