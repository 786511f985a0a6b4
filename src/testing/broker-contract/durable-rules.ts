/** The rules of a broker that keeps its jobs when its process ends. */
import { deepStrictEqual, ok } from 'node:assert/strict'
import type { Rule } from './rules.ts'

/** All of them. */
export const durableRules: readonly Rule[] = [
  {
    name: 'has the jobs that were stored when it is opened again, in their order',
    async check(bench) {
      const jobs = bench.addAll(3)
      const ids = jobs.map((job) => bench.idOf(job))
      await bench.stored(...jobs)
      const next = await bench.reopen()
      const again = await next.runAll(3)
      deepStrictEqual(
        again.map((job) => next.idOf(job)),
        ids,
      )
    },
  },
  {
    name: 'goes on with what was held, waited for its batch or for its key when it is opened again',
    async check(bench) {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const holder = bench.add({ key: 'k' })
      const inLine = bench.add({ key: 'k' })
      const jobs = [first, second, holder, inLine]
      const ids = jobs.map((job) => bench.idOf(job))
      await bench.stored(...jobs)
      const next = await bench.reopen()
      const order = (await next.runAll(4)).map((job) => next.idOf(job))
      deepStrictEqual(new Set(order), new Set(ids))
      ok(order.indexOf(ids[0] ?? '') < order.indexOf(ids[1] ?? ''), 'the batch lost its order')
      ok(order.indexOf(ids[2] ?? '') < order.indexOf(ids[3] ?? ''), 'the key lost its order')
    },
  },
  {
    name: 'finds jobs that were over when it is opened again, with result, error and attempts',
    async check(bench) {
      const done = bench.add()
      const dead = bench.add()
      await bench.available(2)
      bench.complete(await bench.claim(), '"fine"')
      bench.fail(await bench.claim())
      await Promise.all([bench.over(done), bench.over(dead)])
      const ids = [bench.idOf(done), bench.idOf(dead)]
      const next = await bench.reopen()
      const [first, second] = await Promise.all(ids.map((id) => next.broker.jobs.find(id)))
      deepStrictEqual([first?.state, first?.result, first?.attempts], ['completed', '"fine"', 1])
      deepStrictEqual([second?.state, second?.extras?.errors?.[0]?.message], ['dead', 'no'])
    },
  },
]
