/** How the journal looks for jobs: over a table of its own, whose statements are explained. */
import { DatabaseSync } from 'node:sqlite'
import { beforeAll, expect, test } from 'vitest'
import { RUN_SPAN } from '../../../src/rules/journal-protocol.ts'
import type { JournalSearch } from '../../../src/rules/journal-search.ts'
import { MIGRATIONS } from '../../../workers/journal/schema.ts'
import { Search } from '../../../workers/journal/search.ts'
import { prepare } from '../../../workers/journal/statements.ts'
import { TaskNumbers } from '../../../workers/journal/task-numbers.ts'

const AVAILABLE = 3
const COMPLETED = 6
const DEAD = 9
const JOBS = 60_000
const EVERYTHING: JournalSearch = {
  ...{ states: null, tasks: null, pools: null, key: null, batch: null, since: null, until: null },
  ...{ endedSince: null, endedUntil: null, contents: {}, order: 'newest', limit: 3, after: null, slice: 1e9 },
}
const first = RUN_SPAN + 1
let db: DatabaseSync
let search: Search
const spoken = new Set<string>()

beforeAll(() => {
  db = new DatabaseSync(':memory:')
  for (const migration of MIGRATIONS) db.exec(migration)
  const policy = { concurrency: 1, onCrash: 'retry', maxCrashes: 1, retention: undefined } as const
  const numbers = new TaskNumbers(prepare(db), [
    { name: 'mail', pool: 'io', ...policy },
    { name: 'photo', pool: 'default', ...policy },
  ])
  // Every thousandth is dead; the last one and the first are of a task that nobody has.
  db.exec(`INSERT INTO names VALUES (7, 'gone');
    WITH RECURSIVE s (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < ${JOBS - 1})
    INSERT INTO jobs (n, task, state, owner, rank, priority, accepted, ready, payload, finished, key)
    SELECT ${first} + i, CASE WHEN i IN (0, ${JOBS - 1}) THEN 7 ELSE 1 + i % 2 END,
      CASE WHEN i % 1000 = 1 THEN ${DEAD} ELSE ${AVAILABLE} END, 0, i, 0, 1000 + i, 1000 + i,
      '{"user":"u' || (i % 100) || '"}', CASE WHEN i % 1000 = 1 THEN 5000 END, CASE WHEN i = 10 THEN 'k''1' END FROM s`)
  const prepareHeard = (sql: string) => {
    spoken.add(sql)
    return db.prepare(sql)
  }
  const watched = { prepare: prepareHeard } as unknown as DatabaseSync
  search = new Search(watched, numbers)
})

/** The jobs that are found, by their place in the table, page after page. */
function found(asked: Partial<JournalSearch>, pages = 1): number[] {
  const all: number[] = []
  let after: number | null = null
  for (let page = 0; page < pages; page++) {
    const { places, next } = search.find({ ...EVERYTHING, ...asked, after }, (n) => `id-${n - first}`)
    all.push(...places.map((n) => n - first))
    if (next === null) break
    after = places.length < (asked.limit ?? EVERYTHING.limit) ? next : (places.at(-1) ?? next)
  }
  return all
}

function plansOf(asked: Partial<JournalSearch>): string {
  spoken.clear()
  found({ ...asked, limit: 4 }, 2)
  const plans = [...spoken].map((sql) => {
    const values = sql.includes('?2') ? [1, 1] : sql.includes('?1') ? [1] : []
    return (db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[])
      .map(({ detail }) => detail)
      .join('; ')
  })
  return plans.join('\n')
}

test('a search of the journal goes on behind the place where the page before has ended, in either order', () => {
  expect(found({}, 2)).toEqual([5, 4, 3, 2, 1, 0].map((back) => JOBS - 6 + back))
  expect(found({ order: 'oldest' }, 2)).toEqual([0, 1, 2, 3, 4, 5])
  expect(found({ states: [DEAD] }, 2)).toEqual([5, 4, 3, 2, 1, 0].map((back) => 54_001 + back * 1000))
  expect(found({ states: [DEAD], order: 'oldest' }, 100)).toHaveLength(60)
  expect(found({ states: [DEAD, AVAILABLE], limit: 2 }, 2)).toHaveLength(4)
  expect(found({ states: [COMPLETED] }, 2)).toEqual([])
  expect(found({ states: [] })).toEqual([])
})

test('a search of the journal finds jobs by task, pool, key, time, batch and contents, those of unknown tasks too', () => {
  expect(found({ tasks: ['gone'] }, 9)).toEqual([JOBS - 1, 0])
  expect(found({ tasks: ['g*', 'mail'], limit: 2 })).toEqual([JOBS - 1, JOBS - 2])
  expect(found({ pools: ['io'], limit: 2 })).toEqual([JOBS - 2, JOBS - 4])
  expect(found({ pools: ['io'], states: [DEAD] })).toEqual([])
  expect(found({ key: "k'1" })).toEqual([10])
  expect(found({ since: 1010, until: 1012 }, 9)).toEqual([11, 10])
  expect(found({ endedSince: 5000, endedUntil: 5001, order: 'oldest', limit: 2 })).toEqual([1, 1001])
  expect(found({ batch: first + 4 })).toEqual([4])
  expect(found({ contents: { payload: { user: 'u7' } }, order: 'oldest' })).toEqual([7, 107, 207])
  expect(found({ contents: { text: 'U7"' }, states: [DEAD] }, 9)).toEqual([])
  expect(found({ contents: { text: 'id-59' }, order: 'oldest', limit: 1 })).toEqual([59])
})

test('a search of the journal that runs out of time says how far it came', () => {
  const cut = search.find({ ...EVERYTHING, contents: { payload: { user: 'none' } }, slice: 0 }, String)
  expect(cut).toMatchObject({ places: [], searched: 500, next: first + JOBS - 500 })
})

test('a search of the journal reads the table by ranges of numbers, and few jobs of a state out of an index', () => {
  expect(plansOf({})).not.toContain('TEMP B-TREE')
  expect(plansOf({ tasks: ['gone'], states: [AVAILABLE] })).toMatch(/COVERING INDEX spilled \(task=\?\)/)
  expect(plansOf({ states: [DEAD], tasks: ['mail'] })).toMatch(/COVERING INDEX dead/)
  const many = plansOf({ states: [AVAILABLE], contents: { payload: { user: 'u5' } } })
  expect(many).toMatch(/SEARCH jobs USING INTEGER PRIMARY KEY \(rowid>\? AND rowid<\?\)/)
  for (const state of [0, 1, 2, 4, 5, 6, 7, 8]) {
    expect(plansOf({ states: [state] })).toMatch(/USING COVERING INDEX (?:owned|waiting|due|ended)/)
  }
})
