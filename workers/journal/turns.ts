/** Which process of a shared file adds the run of a schedule that is due: the one whose turn it is. */
import type { Questions } from '../../src/rules/journal-protocol.ts'
import type { Statements } from './statements.ts'
import type { Transaction } from './transaction.ts'

/** A run whose process stands still while it adds the job is made by another after so long, in milliseconds. */
const TURN = 5000

/** Takes, passes on and ends turns. */
export class Turns {
  readonly #sql: Statements
  readonly #transaction: Transaction
  #seen = 0

  constructor(sql: Statements, transaction: Transaction) {
    this.#sql = sql
    this.#transaction = transaction
  }

  /** True when schedules were set, removed or run since the last time. */
  get haveChanged(): boolean {
    const version = Number(this.#sql.schedulesVersion.get()?.[0] ?? 0)
    const isNew = version !== this.#seen
    this.#seen = version
    return isNew
  }

  /** Answers whether it was so: the schedule is as given, and no other process has its turn. */
  turn({ act, id, definition, nextAt, next, wall }: Questions['turn']['ask']): boolean {
    const { run } = this.#transaction
    const schedule = [id, definition, nextAt] as const
    if (act === 'take') {
      const { changes } = this.#sql.takeTurn.run(run, wall + TURN, ...schedule, wall, wall + TURN)
      return changes === 1
    }
    if (act === 'release') return this.#sql.letTurn.run(...schedule, run).changes === 1
    return this.#sql.madeTurn.run(next, ...schedule).changes === 1
  }
}
