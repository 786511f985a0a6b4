/** What the journal knows of a job when it decides where that goes. */
import type { SQLInputValue } from 'node:sqlite'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'

/** What is to be otherwise about a job that waits. */
export interface Change {
  /** It was granted, and the event loop has taken it out of its window if it is to wait. */
  readonly isGranted: boolean
  readonly priority: number | null
  readonly due: number | null
  readonly payload: { readonly encoded: SQLInputValue } | undefined
}

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
  /** Its place in the line of its key; null when it waits in none. */
  readonly line: number | null
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
  const [taskId, state, owner, priority, due, after, key, line, rank] = row as unknown as Columns
  return { taskId, task: numbers.indexOf(taskId), state, owner, priority, due, after, key, line, rank }
}
