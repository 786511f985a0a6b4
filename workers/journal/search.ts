/**
 * Looks for jobs in the file, by ranges of their numbers: so many rows at a time, for so many milliseconds, since whoever
 * writes waits meanwhile. Where few jobs are in the states in question, their partial indexes tell which those are.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Encoded } from '../../src/rules/codec.ts'
import { contentMatcher, nameMatcher, wordsOf } from '../../src/rules/job-match.ts'
import { errorFromText } from '../../src/rules/journal-protocol.ts'
import type { JournalFound, JournalSearch } from '../../src/rules/journal-search.ts'
import { type ArrayStatement, asArrays } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'

/** Jobs in the states in question up to which these are looked for in the indexes. */
const FEW = 50_000
/** Rows of the first range, and of the longest. */
const FIRST_RANGE = 500
const LONGEST_RANGE = 50_000
/** Rows whose contents are looked at in one range, and candidates out of an index. */
const LONGEST_LOOK = 4000
/** Jobs that are found in one go, and jobs of one batch. */
const MOST_ROWS = 10_000
const LARGEST_BATCH = 10_000

/** Of each state, the index that has its jobs, and a condition in the words of that index. */
const INDEXES: Readonly<Record<number, readonly (readonly [index: string, where: string])[]>> = {
  0: [['owned', 'owner <> 0 AND state = 0']],
  1: [['waiting', 'state = 1']],
  2: [['due', 'state IN (2, 5) AND state = 2']],
  3: [
    ['spilled', 'state = 3 AND owner = 0'],
    ['owned', 'owner <> 0 AND state = 3'],
  ],
  4: [['owned', 'owner <> 0 AND state = 4']],
  5: [['due', 'state IN (2, 5) AND state = 5']],
  9: [['dead', 'state = 9']],
}
const ENDED = 'ended'

type Fits = (row: readonly unknown[]) => boolean

/** Finds the numbers of jobs that fit. */
export class Search {
  readonly #db: DatabaseSync
  readonly #numbers: TaskNumbers
  readonly #statements = new Map<string, ArrayStatement>()

  constructor(db: DatabaseSync, numbers: TaskNumbers) {
    this.#db = db
    this.#numbers = numbers
  }

  /** The numbers of jobs that fit, in order. `idOf` tells a job's id. */
  find(search: JournalSearch, idOf: (n: number) => string): Omit<JournalFound, 'rows'> {
    const started = performance.now()
    const tasks = this.#tasksOf(search)
    const fits = contentsOf(search, idOf, (id) => this.#numbers.nameOf(id))
    const found: number[] = []
    let { after } = search
    let searched = 0
    const source = this.#sourceOf(search, tasks)
    const where = conditionsOf(search, source === '' || search.batch !== null ? tasks : null, source === '')
    if (source === undefined) return { places: [], next: null, searched }
    for (
      let range = FIRST_RANGE;
      ;
      range = Math.min(range * 2, fits === undefined ? LONGEST_RANGE : LONGEST_LOOK)
    ) {
      const left = search.limit - found.length
      const step =
        source === ''
          ? this.#scan(search, where, fits, after, range, left)
          : this.#pick(search, source, where, fits, after, left)
      searched += step.searched
      found.push(...step.found)
      if (step.next === null || found.length >= search.limit)
        return { places: found, next: step.next, searched }
      after = step.next
      if (performance.now() - started >= search.slice) return { places: found, next: after, searched }
    }
  }

  /** One range of the whole table. */
  #scan(
    { order }: JournalSearch,
    where: readonly string[],
    fits: Fits | undefined,
    after: number | null,
    range: number,
    left: number,
  ): Step {
    const [than, way] = order === 'newest' ? ['<', 'DESC'] : ['>', 'ASC']
    const from = after === null ? '' : `WHERE n ${than} ?1`
    const values: SQLInputValue[] = after === null ? [] : [after]
    const end = this.#prepare(`SELECT n FROM jobs ${from} ORDER BY n ${way} LIMIT 1 OFFSET ${range - 1}`).get(
      ...values,
    )?.[0] as number | undefined
    const all = [...where]
    if (after !== null) all.push(`n ${than} ?1`)
    if (end !== undefined) all.push(order === 'newest' ? 'n >= ?2' : 'n <= ?2')
    const given = [after ?? 0, ...(end === undefined ? [] : [end])]
    const sql = `SELECT ${columnsFor(fits)} FROM jobs ${whereOf(all)} ORDER BY n ${way}`
    return this.#gather(
      sql,
      all.some((one) => one.includes('?')) ? given : [],
      fits,
      left,
      end ?? null,
      range,
    )
  }

  /** The next candidates out of an index. */
  #pick(
    { order }: JournalSearch,
    source: string,
    where: readonly string[],
    fits: Fits | undefined,
    after: number | null,
    left: number,
  ): Step {
    const [than, way] = order === 'newest' ? ['<', 'DESC'] : ['>', 'ASC']
    const most = fits === undefined && where.length === 0 ? Math.min(left, MOST_ROWS) : LONGEST_LOOK
    const behind = after === null ? '' : `WHERE n ${than} ?1`
    const candidates = `SELECT n FROM (${source}) ${behind} ORDER BY n ${way} LIMIT ${most}`
    const values = after === null ? [] : [after]
    if (fits === undefined && where.length === 0) {
      const found = this.#prepare(candidates)
        .all(...values)
        .map(([n]) => n as number)
      return { found, next: found.length < most ? null : (found.at(-1) ?? null), searched: 0 }
    }
    const bounds = this.#prepare(
      `SELECT count(*), ${order === 'newest' ? 'min' : 'max'}(n) FROM (${candidates})`,
    ).get(...values) as readonly [number, number | null]
    const end = bounds[0] < most ? null : bounds[1]
    const sql = `SELECT ${columnsFor(fits)} FROM jobs ${whereOf([`n IN (${candidates})`, ...where])} ORDER BY n ${way}`
    return this.#gather(sql, values, fits, left, end, bounds[0])
  }

  #gather(
    sql: string,
    values: readonly SQLInputValue[],
    fits: Fits | undefined,
    left: number,
    end: number | null,
    looked: number,
  ): Step {
    const found: number[] = []
    if (fits === undefined) {
      const rows = this.#prepare(`${sql} LIMIT ${Math.min(left, MOST_ROWS)}`).all(...values)
      for (const [n] of rows) found.push(n as number)
    } else {
      for (const row of this.#prepare(sql).iterate(...values)) {
        if (!fits(row)) continue
        found.push(row[0] as number)
        if (found.length >= left) break
      }
    }
    return { found, next: found.length < left ? end : (found.at(-1) ?? end), searched: looked }
  }

  /** Where candidates come from: '' for the whole table, undefined for nowhere. */
  #sourceOf({ states, batch }: JournalSearch, tasks: readonly number[] | null): string | undefined {
    if (batch !== null) {
      const members = this.#prepare(BATCH).all(batch)
      return members.length === 0 ? undefined : `SELECT value AS n FROM json_each('[${members.flat()}]')`
    }
    if (states === null) return ''
    const parts = states.flatMap(
      (state) =>
        INDEXES[state] ?? [[ENDED, `finished IS NOT NULL AND state <> 9 AND state = ${state}`] as const],
    )
    if (parts.length === 0) return undefined
    const of = tasks === null ? '' : ` AND task IN (${tasks.join(', ')})`
    const source = parts
      .map(([index, where]) => `SELECT n FROM jobs INDEXED BY ${index} WHERE ${where}${of}`)
      .join(' UNION ALL ')
    const [count] = this.#prepare(`SELECT count(*) FROM (${source} LIMIT ${FEW})`).get() as readonly [number]
    return count < FEW ? source : ''
  }

  #tasksOf({ tasks, pools }: JournalSearch): number[] | null {
    if (tasks === null && pools === null) return null
    const named = tasks === null ? undefined : nameMatcher(tasks)
    const known = this.#numbers.tasks
    return this.#numbers.all().flatMap(([id, name]) => {
      if (named?.(name) === false) return []
      const pool = known[this.#numbers.indexOf(id)]?.pool
      return pools === null || (pool !== undefined && pools.includes(pool)) ? [id] : []
    })
  }

  #prepare(sql: string): ArrayStatement {
    // What is asked for may be anything: only the latest forms are kept.
    let statement = this.#statements.get(sql)
    if (statement !== undefined) return statement
    if (this.#statements.size >= 50) this.#statements.clear()
    statement = asArrays(this.#db.prepare(sql))
    this.#statements.set(sql, statement)
    return statement
  }
}

interface Step {
  readonly found: readonly number[]
  /** Where to go on; null at the end. */
  readonly next: number | null
  readonly searched: number
}

/** The jobs that wait for one another, up to the first and down from there. */
const BATCH = `WITH RECURSIVE
  up (n) AS (SELECT n FROM jobs WHERE n = ?1 UNION SELECT jobs.after FROM jobs JOIN up ON jobs.n = up.n WHERE jobs.after IS NOT NULL),
  batch (n) AS (SELECT n FROM up UNION SELECT jobs.n FROM batch JOIN jobs ON jobs.after = batch.n WHERE jobs.after IS NOT NULL)
  SELECT n FROM batch LIMIT ${LARGEST_BATCH}`

/** What the rows themselves are asked. `asksState`: their source does not tell. */
function conditionsOf(search: JournalSearch, tasks: readonly number[] | null, asksState: boolean): string[] {
  const { states, key, since, until, endedSince, endedUntil, batch } = search
  const where: string[] = []
  if (states !== null && (asksState || batch !== null)) where.push(`state IN (${states.join(', ')})`)
  if (tasks !== null) where.push(`task IN (${tasks.join(', ')})`)
  if (key !== null) where.push(`key = ${quoted(key)}`)
  // Whoever shows a time shows it in whole milliseconds.
  if (since !== null) where.push(`accepted >= ${since - 0.5}`)
  if (until !== null) where.push(`accepted < ${until - 0.5}`)
  if (endedSince !== null) where.push(`finished >= ${endedSince - 0.5}`)
  if (endedUntil !== null) where.push(`finished < ${endedUntil - 0.5}`)
  return where
}

function whereOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

const CONTENTS = 'n, task, key, rest, reason, error, payload'

function columnsFor(fits: Fits | undefined): string {
  return fits === undefined ? 'n' : CONTENTS
}

function contentsOf(
  { contents }: JournalSearch,
  idOf: (n: number) => string,
  nameOf: (task: number) => string,
): Fits | undefined {
  const fits = contentMatcher(contents)
  if (fits === undefined) return undefined
  return (row) => {
    const [n, task, key, rest, reason, error, payload] = row as ContentRow
    return fits({
      id: idOf(n),
      task: nameOf(task),
      key: key ?? undefined,
      get requestId() {
        return rest === null ? undefined : requestIn(rest)
      },
      reason: reason ?? undefined,
      error: () => (error === null ? undefined : wordsOf(errorFromText(error))),
      payload: payload ?? undefined,
    })
  }
}

type ContentRow = [
  n: number,
  task: number,
  key: string | null,
  rest: string | null,
  reason: string | null,
  error: string | null,
  payload: Encoded | null,
]

function requestIn(rest: string): string | undefined {
  if (!rest.includes('requestId')) return undefined
  try {
    const { context } = JSON.parse(rest) as { context?: { requestId?: string } }
    return context?.requestId
  } catch {
    return undefined
  }
}
