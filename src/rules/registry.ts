/** The tasks of a runtime by name, and how names are typed. */
import { describeValue, OptionsInvalidError, PayloadInvalidError, UnknownTaskError } from '../words/errors.ts'
import { closest } from './options.ts'
import { type AnyTask, checkAgainst } from './task.ts'

/**
 * Augment this interface so that `req.after` and `after` know your tasks by name:
 * `declare module 'aftertask' { interface Register { runtime: typeof runtime } }`.
 * The pattern is TanStack Router's.
 */
// An interface, since only interfaces can be augmented; empty until the user does.
// biome-ignore lint/suspicious/noEmptyInterface: see above
export interface Register {}

/** The tasks of the registered runtime, or any task when none is registered. */
export type RegisteredTask = Register extends {
  runtime: { readonly tasks: readonly (infer T extends AnyTask)[] }
}
  ? T
  : AnyTask

/** A task inside a runtime: the definition and its number, which is what travels to threads. */
export interface TaskEntry {
  readonly index: number
  readonly task: AnyTask
}

/** Looks tasks up by name or by object, and checks payloads. */
export class Registry {
  readonly entries: readonly TaskEntry[]
  readonly #byName = new Map<string, TaskEntry>()
  /** What was found last: most servers add jobs of one task many times in a row. */
  #lastTask: string | AnyTask | undefined
  #lastEntry: TaskEntry | undefined

  constructor(tasks: readonly AnyTask[]) {
    this.entries = tasks.map((task, index) => ({ index, task }))
    for (const entry of this.entries) {
      const { name } = entry.task
      if (this.#byName.has(name)) {
        throw new OptionsInvalidError(
          `Two tasks are named "${name}"; a name is given once in a runtime.`,
          'tasks',
        )
      }
      this.#byName.set(name, entry)
    }
  }

  /** @throws UnknownTaskError, with the nearest known name. */
  find(task: string | AnyTask): TaskEntry {
    if (task === this.#lastTask && this.#lastEntry !== undefined) return this.#lastEntry
    const name = typeof task === 'string' ? task : task?.name
    const entry = this.#byName.get(name)
    if (entry === undefined || (typeof task !== 'string' && entry.task !== task)) throw this.#unknown(task)
    this.#lastTask = task
    this.#lastEntry = entry
    return entry
  }

  /** Checks a payload and returns what the handler is to receive. Throws PayloadInvalidError with the schema's issues. */
  parse(entry: TaskEntry, payload: unknown): unknown {
    const { name, payload: schema } = entry.task
    if (schema === undefined) {
      if (payload === undefined) return undefined
      const message = `the task takes no payload, but got ${describeValue(payload)}; give it a payload schema`
      throw new PayloadInvalidError(name, [{ message, path: [] }])
    }
    const checked = checkAgainst(schema, payload, 'payload')
    if ('issues' in checked) throw new PayloadInvalidError(name, checked.issues)
    return checked.value
  }

  #unknown(task: string | AnyTask): Error {
    const known = [...this.#byName.keys()]
    if (typeof task === 'string') return new UnknownTaskError(task, known, closest(task, known))
    const name = typeof task?.name === 'string' ? task.name : describeValue(task)
    return new UnknownTaskError(name, known)
  }
}
