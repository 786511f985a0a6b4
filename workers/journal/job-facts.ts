/** What the journal knows of a job when it decides where that goes. */
import type { SQLInputValue } from 'node:sqlite'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'

/** What decides where a job goes. */
export interface Facts {
  readonly task: number
  readonly priority: number
  readonly due: number | null
  readonly after: number | null
  readonly key: string | null
}

/** Where a job goes. */
export interface Place {
  readonly state: number
  readonly owner: number
  readonly line: number | null
  readonly rank: number
}

/** How a job ends when the journal itself decides. */
export interface End {
  readonly state: number
  readonly reason: string | null
  readonly error: string | null
  /** Null: as many as before. */
  readonly crashes: number | null
}

/** An add as it comes: the entries of the operation behind its number. */
export type Add = readonly [
  seq: number,
  task: number,
  isHeld: boolean,
  stops: boolean,
  priority: number,
  accepted: number,
  due: number | null,
  after: number | null,
  key: string | null,
  uniqueKey: string | null,
  uniqueUntil: number | null,
  expires: number | null,
  payload: SQLInputValue,
  rest: string | null,
]

/** The facts of a job that is in the file. */
export interface KnownFacts extends Facts {
  readonly state: number
  readonly owner: number
  readonly taskId: number
  readonly rank: number
}

/** Reads the facts of a job that is not over. */
export function factsOf(sql: Statements, numbers: TaskNumbers, n: number): KnownFacts | undefined {
  const row = sql.facts.get(n)
  if (row === undefined) return undefined
  type Columns = [
    number,
    number,
    number,
    number,
    number | null,
    number | null,
    string | null,
    number | null,
    number,
  ]
  const [taskId, state, owner, priority, due, after, key, , rank] = row as unknown as Columns
  return { taskId, task: numbers.indexOf(taskId), state, owner, priority, due, after, key, rank }
}
