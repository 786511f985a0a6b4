/** Jobs that turn out to be equal to one that another process has added. */
import { AVAILABLE, DUPLICATE, SKIPPED } from '../../src/rules/journal-protocol.ts'
import type { Add } from './job-facts.ts'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'
import type { Turn } from './turn.ts'

/** Finds and ends them. */
export class Duplicates {
  readonly #sql: Statements
  readonly #turn: Turn
  readonly #numbers: TaskNumbers

  constructor(sql: Statements, turn: Turn, numbers: TaskNumbers) {
    this.#sql = sql
    this.#turn = turn
    this.#numbers = numbers
  }

  /** True when another job holds the unique key. */
  has(n: number, uniqueKey: string): boolean {
    this.#sql.freeUnique.run(uniqueKey, this.#turn.now)
    const holder = this.#sql.uniqueHolder.get(uniqueKey)?.[0]
    return holder !== undefined && holder !== n
  }

  /** Takes in a job that is over before it has begun. */
  add(n: number, [, task, , , priority, accepted, , , key, , , , payload, rest]: Add): void {
    const id = this.#numbers.nameIdOf(task)
    const { changes } = this.#sql.insert.run(
      n,
      id,
      AVAILABLE,
      0,
      accepted,
      priority,
      accepted,
      accepted,
      null,
      null,
      0,
      key,
      null,
      null,
      null,
      null,
      payload,
      rest,
    )
    if (changes === 0) return
    this.#sql.end.run(SKIPPED, DUPLICATE, null, 0, this.#turn.now, n)
    this.#turn.countIn(SKIPPED)
    this.#turn.toTell.push(n)
  }
}
