/** The rules of how brokers look for jobs. */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict'
import type { JobSearch } from '../../brokers/port/search.ts'
import type { TaskTally } from '../../brokers/port/tally.ts'
import type { JobRecord } from '../../rules/job-record.ts'
import type { Bench } from './bench.ts'
import type { Rule } from './rules.ts'

type Asked = Partial<JobSearch>

const A_MINUTE = 60_000

/** Looks until the end, page after page; tells the ids of each page. */
async function pagesOf(bench: Bench, asked: Asked, limit: number): Promise<string[][]> {
  const pages: string[][] = []
  let after: string | undefined
  do {
    const found = await bench.broker.jobs.search({
      ...{ order: 'newest', budget: Number.POSITIVE_INFINITY, limit },
      ...asked,
      ...(after !== undefined && { after }),
    })
    ok(found.jobs.length <= limit, 'a page has more jobs than were asked for')
    pages.push(found.jobs.map((job) => bench.idOf(job)))
    after = found.next
  } while (after !== undefined)
  return pages
}

async function idsOf(bench: Bench, asked: Asked): Promise<string[]> {
  return (await pagesOf(bench, asked, 100)).flat()
}

/** A search that finds these jobs, in this order. */
async function expectFound(bench: Bench, asked: Asked, expected: readonly JobRecord[]): Promise<void> {
  const found = await idsOf(bench, asked)
  deepStrictEqual(
    found,
    expected.map((job) => bench.idOf(job)),
    `${JSON.stringify(asked)} finds other jobs`,
  )
}

export const searchRules: readonly Rule[] = [
  {
    name: 'finds jobs by state, task, pool and key, newest or oldest first',
    async check(bench) {
      const first = bench.add({ key: 'k' })
      await bench.apart()
      const io = bench.add({ task: 'io' })
      await bench.apart()
      const late = bench.add({ task: 'single', delay: A_MINUTE })
      await bench.available(2)
      await expectFound(bench, {}, [late, io, first])
      await expectFound(bench, { order: 'oldest' }, [first, io, late])
      await expectFound(bench, { states: ['scheduled', 'dead'] }, [late])
      await expectFound(bench, { states: [] }, [])
      await expectFound(bench, { tasks: ['plain', 'io'] }, [io, first])
      await expectFound(bench, { tasks: ['p*n', 's*'] }, [late, first])
      await expectFound(bench, { tasks: ['nobody'] }, [])
      await expectFound(bench, { pools: ['io'] }, [io])
      await expectFound(bench, { pools: ['default'] }, [late, first])
      await expectFound(bench, { key: 'k', states: ['available'] }, [first])
      await expectFound(bench, { key: 'K' }, [])
    },
  },
  {
    name: 'finds jobs by when they were accepted and when they ended',
    async check(bench) {
      const early = bench.add()
      bench.complete(await bench.claim())
      await bench.over(early)
      await bench.apart()
      const between = bench.clock.wall()
      await bench.apart()
      const late = bench.add()
      await bench.available(1)
      await expectFound(bench, { since: between }, [late])
      await expectFound(bench, { until: between }, [early])
      await expectFound(bench, { endedSince: between - A_MINUTE, endedUntil: between }, [early])
      await expectFound(bench, { endedSince: between }, [])
    },
  },
  {
    name: 'goes through jobs page by page, each job once, while others come and go',
    async check(bench) {
      const jobs: JobRecord[] = []
      for (let at = 0; at < 7; at++) {
        jobs.push(bench.add())
        await bench.apart()
      }
      await bench.available(7)
      const ids = jobs.map((job) => bench.idOf(job))
      const newest = ids.toReversed()
      deepStrictEqual(await pagesOf(bench, {}, 3), [newest.slice(0, 3), newest.slice(3, 6), newest.slice(6)])
      deepStrictEqual((await pagesOf(bench, { order: 'oldest' }, 2)).flat(), ids)
      const { jobs: page, next } = await bench.broker.jobs.search({
        ...{ order: 'newest', limit: 3, budget: 0 },
      })
      strictEqual(page.length, 3)
      ok(next !== undefined, 'a page with more behind it has no next')
      bench.add()
      bench.complete(await bench.claim())
      await bench.over(jobs[0] as JobRecord)
      await bench.broker.jobs.remove(jobs[0] as JobRecord)
      const rest = await bench.broker.jobs.search({ order: 'newest', limit: 10, budget: 0, after: next })
      deepStrictEqual(
        rest.jobs.map((job) => bench.idOf(job)),
        newest.slice(3, 6),
      )
      strictEqual(rest.next, undefined)
      const free = { order: 'newest', limit: 1, budget: 0, after: 'no cursor' } as const
      await rejects(async () => bench.broker.jobs.search(free), { code: 'ERR_OPTIONS_INVALID' })
    },
  },
  {
    name: 'finds jobs by fields of their payload, by a text and by their error',
    async check(bench) {
      const one = bench.add({ payload: '{"user":{"id":7},"tags":["a","b"],"mail":"Ann@x.org"}' })
      await bench.apart()
      const other = bench.add({ payload: '{"user":{"id":17},"note":"ann \\"7\\""}' })
      await bench.apart()
      bench.add()
      await bench.available(3)
      await expectFound(bench, { payload: { 'user.id': 7 } }, [one])
      await expectFound(bench, { payload: { user: { id: '7' }, tags: 'b' } }, [one])
      await expectFound(bench, { payload: { 'user.id': 17 }, tasks: ['io'] }, [])
      await expectFound(bench, { payload: { user: 7 } }, [])
      await expectFound(bench, { text: 'ANN' }, [other, one])
      await expectFound(bench, { text: '"7"' }, [other])
      await expectFound(bench, { text: bench.idOf(one) }, [one])
      bench.fail(await bench.claim())
      await bench.over(one)
      await expectFound(bench, { error: 'NO' }, [one])
      await expectFound(bench, { error: 'E*r', payload: { 'user.id': 7 } }, [one])
      await expectFound(bench, { error: 'timeout' }, [])
    },
  },
  {
    name: 'finds the jobs of a batch by one of them',
    async check(bench) {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const third = bench.add({ batch, after: second })
      bench.add()
      bench.settleResponse(batch, first, second, third)
      await bench.available(2)
      const ids = [first, second, third].map((job) => bench.idOf(job))
      for (const id of ids) deepStrictEqual(new Set(await idsOf(bench, { batch: id })), new Set(ids))
      await expectFound(bench, { batch: `${ids[0]}0` }, [])
    },
  },
  {
    name: 'counts jobs by task, and tells since when the oldest could run',
    async check(bench) {
      const first = bench.add()
      bench.add({ task: 'io', delay: A_MINUTE })
      await bench.available(1)
      await bench.apart()
      const between = bench.clock.wall()
      bench.add()
      await bench.available(2)
      const tallyOf = async (task: string): Promise<TaskTally | undefined> =>
        (await bench.broker.jobs.tally()).find((one) => one.task === task)
      const { states = {}, oldest = 0, pool } = (await tallyOf('plain')) ?? {}
      deepStrictEqual([states.available, states.running ?? 0, pool], [2, 0, 'default'])
      ok(oldest > between - A_MINUTE && oldest < between, `${oldest} is not when the first could run`)
      const io = await tallyOf('io')
      deepStrictEqual([io?.states.scheduled, io?.pool, io?.oldest], [1, 'io', undefined])
      bench.complete(await bench.claim())
      await bench.over(first)
      await bench.available(1)
      const then = await tallyOf('plain')
      deepStrictEqual([then?.states.available, then?.states.completed], [1, 1])
      ok((then?.oldest ?? 0) > oldest, 'a job that is over counts as the oldest that could run')
    },
  },
]
