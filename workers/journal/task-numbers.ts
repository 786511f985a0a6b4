/** Tasks have two numbers: the event loop counts those of its runtime, and the file all that it has ever seen. */
import type { JournalTask } from '../../src/rules/journal-protocol.ts'
import type { Statements } from './statements.ts'

/** Translates between the two. */
export class TaskNumbers {
  readonly tasks: readonly JournalTask[]
  readonly #sql: Statements
  readonly #ids: readonly number[]
  readonly #indexes: ReadonlyMap<number, number>

  constructor(sql: Statements, tasks: readonly JournalTask[]) {
    this.tasks = tasks
    this.#sql = sql
    this.#ids = tasks.map(({ name }) => sql.addName.get(name)?.[0] as number)
    this.#indexes = new Map(this.#ids.map((id, index) => [id, index]))
  }

  /** The number that the event loop knows a task by; -1 when this process has no such task. */
  indexOf(id: number): number {
    return this.#indexes.get(id) ?? -1
  }

  /** The number that the file knows a task by. */
  nameIdOf(index: number): number {
    return this.#ids[index] as number
  }

  /** The shelf that finished jobs of a task are kept on; 0 for that of all tasks without a rule of their own. */
  shelfOf(id: number): number {
    return this.tasks[this.indexOf(id)]?.retention === undefined ? 0 : id
  }

  /** Every task that the file has ever seen, with its number there. */
  all(): readonly (readonly [id: number, name: string])[] {
    return this.#sql.allNames.all() as readonly (readonly [number, string])[]
  }

  /** The name of a task by its number in the file. */
  nameOf(id: number): string {
    return this.tasks[this.indexOf(id)]?.name ?? (this.#sql.nameOf.get(id)?.[0] as string)
  }

  /** The task that a filter names; -1 when the file has none such. */
  nameIdFor(name: string): number {
    const index = this.tasks.findIndex((task) => task.name === name)
    return index === -1
      ? ((this.#sql.idOfName.get(name)?.[0] as number | undefined) ?? -1)
      : this.nameIdOf(index)
  }
}
