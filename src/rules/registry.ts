/** The tasks of a runtime by name, and how names are typed. */
import { describeValue, OptionsInvalidError, PayloadInvalidError, UnknownTaskError } from '../words/errors.ts'
import { isRecord, refusal } from './arguments.ts'
import { closest } from './options.ts'
import { type AnyTask, checkAgainst, isTask } from './task.ts'

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

  /**
   * The task that a call means. `call` is the function that was called, for its refusal.
   *
   * @throws UnknownTaskError, with the nearest known name; OptionsInvalidError for what is neither a task nor a name.
   */
  find(task: string | AnyTask, call = 'enqueue'): TaskEntry {
    if (task === this.#lastTask && this.#lastEntry !== undefined) return this.#lastEntry
    if (typeof task !== 'string' && !isTask(task)) throw notATask(task, call)
    const entry = this.#byName.get(typeof task === 'string' ? task : task.name)
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
    if (typeof task !== 'string') return new UnknownTaskError(task.name, known)
    // A client may have chosen it.
    const name = task.length > 100 ? `${task.slice(0, 100)}...` : task
    return new UnknownTaskError(name, known, closest(task, known))
  }
}

function notATask(value: unknown, call: string): Error {
  const expected = 'a task made by defineTask, or its name'
  return refusal(call, 'the task', value, expected, remedyFor(value))
}

function remedyFor(value: unknown): string {
  if (value === undefined) return 'Is it exported, or is there a circular import?'
  if (typeof value === 'function') {
    return 'A function cannot travel to a thread: put it in a file of its own, and define a task whose handler is that file.'
  }
  if (isRecord(value) && ownKey(value, 'task'))
    return 'The payload is the next argument, the options the one after.'
  return isRecord(value) ? 'Pass what defineTask returned, and not a copy of it.' : ''
}

function ownKey(value: object, key: string): boolean {
  try {
    return Object.hasOwn(value, key)
  } catch {
    return false
  }
}
