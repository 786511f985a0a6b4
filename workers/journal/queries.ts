/** What is asked of the journal: whole jobs, lists, counts, histories. */
import type { DatabaseSync } from 'node:sqlite'
import { ATTEMPTS_KEPT } from '../../src/rules/job-record.ts'
import {
  type AttemptRow,
  AVAILABLE,
  COMPLETED,
  type LogRow,
  type Questions,
  type Row,
  RUN_SPAN,
  STATES,
  TWIN,
} from '../../src/rules/journal-protocol.ts'
import type { JournalFound, JournalSearch, TallyRow } from '../../src/rules/journal-search.ts'
import { Search } from './search.ts'
import { type ArrayStatement, asArrays, ROW_COLUMNS, type Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'

/** Reads the file for the event loop's side. */
export class Queries {
  /** What `seq` is counted from. */
  base = 0
  readonly #db: DatabaseSync
  readonly #sql: Statements
  readonly #numbers: TaskNumbers
  readonly #prefixes = new Map<number, string>()
  readonly #lists = new Map<string, ArrayStatement>()
  readonly #unique: ArrayStatement
  readonly #search: Search

  constructor(db: DatabaseSync, sql: Statements, numbers: TaskNumbers) {
    this.#db = db
    this.#sql = sql
    this.#numbers = numbers
    this.#search = new Search(db, numbers)
    this.#unique = asArrays(db.prepare(`SELECT ${ROW_COLUMNS} FROM jobs WHERE unique_key IS NOT NULL`))
  }

  /** Whole jobs, into a list. Those that a later operation has ended are left out of what was granted. */
  rows(numbers: readonly number[], into: Row[]): void {
    for (const n of numbers) {
      const row = this.#sql.row.get(n)
      if (row !== undefined) into.push(this.#whole(row))
    }
  }

  countAll(): number[] {
    const counts: number[] = new Array(STATES.length).fill(0)
    for (const [state, count] of this.#sql.counts.all() as [number, number][]) {
      counts[state] = (counts[state] ?? 0) + count
    }
    return counts
  }

  uniqueHolders(): Row[] {
    return this.#unique.all().map((row) => this.#whole(row))
  }

  answer<Q extends keyof Questions>(question: Q, argument: Questions[Q]['ask']): Questions[Q]['answer'] {
    const answers: { [K in keyof Questions]?: (argument: never) => Questions[K]['answer'] } = {
      find: (id: string) => this.#find(id),
      row: (seq: number) => this.#row(this.base + seq),
      list: (filter: Questions['list']['ask']) => this.#list(filter),
      search: (search: JournalSearch) => this.#found(search),
      tally: () => this.#tally(),
      counts: () => this.countAll(),
      history: (seq: number) => this.#history(this.base + seq),
      logs: (seq: number) => this.#logs(this.base + seq),
      schedules: () => this.#schedules(),
    }
    const answer = answers[question] as (argument: unknown) => Questions[Q]['answer']
    return answer(argument)
  }

  #row(n: number): Row | null {
    const row = this.#sql.row.get(n)
    return row === undefined ? null : this.#whole(row)
  }

  #find(id: string): Row | null {
    const n = this.#numberOf(id)
    return n === undefined ? null : this.#row(n)
  }

  /** The number of the job that has an id. */
  #numberOf(id: string): number | undefined {
    const dash = id.lastIndexOf('-')
    const seq = Number.parseInt(id.slice(dash + 1), 36)
    if (dash === -1 || !Number.isSafeInteger(seq)) return undefined
    for (const [run] of this.#sql.runsOfPrefix.all(id.slice(0, dash + 1)) as [number][]) {
      const n = run * RUN_SPAN + seq
      if (this.#sql.isThere.get(n) !== undefined && this.#idOf(n) === id) return n
    }
    return undefined
  }

  #list({ states, task, limit }: Questions['list']['ask']): Row[] {
    const where = states === null ? [] : [`(${states.map(conditionOf).join(' OR ')})`]
    if (task !== null) where.push('task = ?1')
    const sql = `SELECT ${ROW_COLUMNS} FROM jobs ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''} ORDER BY n DESC LIMIT ?2`
    let statement = this.#lists.get(sql)
    if (statement === undefined) {
      statement = asArrays(this.#db.prepare(sql))
      this.#lists.set(sql, statement)
    }
    const id = task === null ? null : this.#numbers.nameIdFor(task)
    return statement.all(id, Math.min(limit, 1e9)).map((row) => this.#whole(row))
  }

  #tally(): TallyRow[] {
    const rows = this.#sql.tally.all() as readonly (readonly [number, number, number])[]
    return rows.map(([task, state, count]) => {
      const pool = this.#numbers.tasks[this.#numbers.indexOf(task)]?.pool ?? null
      const front = state === AVAILABLE ? this.#sql.front.get(task) : undefined
      return [this.#numbers.nameOf(task), pool, state, count, (front?.[0] as number | undefined) ?? null]
    })
  }

  #found(search: JournalSearch): JournalFound<Row> {
    const { batch } = search
    const of = typeof batch === 'string' ? (this.#numberOf(batch) ?? -1) : batch
    const found = this.#search.find({ ...search, batch: of }, (n) => this.#idOf(n))
    // Another process may have removed one since.
    const rows = found.places.flatMap((n) => {
      const row = this.#sql.listed.get(n)
      return row === undefined ? [] : [[n, this.#whole(row)] as const]
    })
    return { ...found, places: rows.map(([n]) => n), rows: rows.map(([, row]) => row) }
  }

  #history(n: number): AttemptRow[] {
    const history = this.#sql.attempts.all(n).map(toAttempt)
    const last = this.#sql.lastAttempt.get(n)
    if (last?.[1] !== COMPLETED || last[6] === TWIN) return history
    const [attempt, , started, ended, thread, cpu] = last
    return [...history, toAttempt([attempt, 'completed', started, ended, thread, cpu, null])].slice(
      -ATTEMPTS_KEPT,
    )
  }

  #logs(n: number): LogRow[] {
    const rows = this.#sql.logs.all(n) as readonly (readonly [number, string])[]
    return rows.map(([dropped, text]) => ({ dropped, text }))
  }

  #schedules(): { id: string; definition: string; nextAt: number }[] {
    const rows = this.#sql.schedules.all() as readonly (readonly [string, string, number])[]
    return rows.map(([id, definition, nextAt]) => ({ id, definition, nextAt }))
  }

  #whole(row: readonly unknown[]): Row {
    const [n, taskId, ...rest] = row as [number, number, ...unknown[]]
    const id = this.#idOf(n)
    const task = this.#numbers.indexOf(taskId)
    const name = this.#numbers.nameOf(taskId)
    return [n - this.base, id, task, ...rest, name] as unknown as Row
  }

  #idOf(n: number): string {
    const run = Math.floor(n / RUN_SPAN)
    return this.#prefixOf(run) + (n - run * RUN_SPAN).toString(36)
  }

  #prefixOf(run: number): string {
    const known = this.#prefixes.get(run)
    if (known !== undefined) return known
    const prefix = this.#sql.prefix.get(run)?.[0] as string
    this.#prefixes.set(run, prefix)
    return prefix
  }
}

function toAttempt(row: readonly unknown[]): AttemptRow {
  const [attempt, outcome, started, ended, thread, cpu, error] = row
  return { attempt, outcome, started, ended, thread, cpu, error } as AttemptRow
}

// In the words of the partial indexes, so that they are used.
const CONDITIONS: Readonly<Record<number, string>> = {
  0: '(owner <> 0 AND state = 0)',
  1: '(state = 1)',
  2: '(state IN (2, 5) AND state = 2)',
  3: '(state = 3)',
  4: '(owner <> 0 AND state = 4)',
  5: '(state IN (2, 5) AND state = 5)',
  9: '(state = 9)',
}

function conditionOf(state: number): string {
  return CONDITIONS[state] ?? `(finished IS NOT NULL AND state <> 9 AND state = ${state})`
}
