/** The rules for jobs of a task that the process does not have: one that is gone, or that a later deploy brings. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { Rule } from './rules.ts'

/** Those of a broker that keeps its jobs when its process ends. */
export const strangerRules: readonly Rule[] = [
  {
    name: 'finds, lists and counts the jobs of a task that it does not have, and shows none of them to a thread',
    async check(bench) {
      const gone = [bench.add({ payload: '{"n":1}' }), bench.add(), bench.add({ task: 'single' })]
      const ids = gone.map((job) => bench.idOf(job))
      await bench.stored(...gone)
      const next = await bench.reopen('plain', 'single')
      await next.available(3)
      ok(await next.nothingElse(), 'a job was shown that no thread can run')
      const { jobs } = next.broker
      const found = await Promise.all(ids.map((id) => jobs.find(id)))
      deepStrictEqual(
        found.map((job) => [job?.entry.task.name, job?.state]),
        [
          ['plain', 'available'],
          ['plain', 'available'],
          ['single', 'available'],
        ],
      )
      strictEqual(found[0]?.payload, '{"n":1}')
      const named = async (task: string): Promise<string[]> =>
        (await jobs.list({ task })).map((job) => next.idOf(job))
      deepStrictEqual(new Set(await named('plain')), new Set(ids.slice(0, 2)))
      deepStrictEqual(await named('single'), ids.slice(2))
      strictEqual((await jobs.list({ state: 'available' })).length, 3)
    },
  },
  {
    name: 'lets the jobs of its own tasks pass those of a task that it does not have',
    async check(bench) {
      const gone = bench.addAll(20)
      await bench.stored(...gone)
      const next = await bench.reopen('plain')
      const own = next.add({ task: 'single' })
      strictEqual(await next.claim(), own)
      next.complete(own)
      await next.over(own)
      await next.available(20)
    },
  },
  {
    name: 'cancels and removes the job of a task that it does not have',
    async check(bench) {
      const [first, second] = [bench.add({ key: 'k' }), bench.add({ key: 'k' })]
      const ids = [bench.idOf(first), bench.idOf(second)]
      await bench.stored(first, second)
      const next = await bench.reopen('plain')
      await next.cancelById(ids[0] ?? '')
      const { jobs } = next.broker
      const isRemoved = async (id = ''): Promise<boolean> => {
        const found = await jobs.find(id)
        return found !== undefined && jobs.remove(found)
      }
      strictEqual((await jobs.find(ids[0] ?? ''))?.state, 'cancelled')
      ok(!(await isRemoved(ids[1])), 'a job was removed that is not over')
      ok(await isRemoved(ids[0]), 'the job was not removed')
      strictEqual(await jobs.find(ids[0] ?? ''), undefined)
    },
  },
  {
    name: 'lets a dead job of a task that it does not have start over, for whoever has the task',
    async check(bench) {
      const job = bench.add()
      bench.fail(await bench.claim())
      await bench.over(job)
      const next = await bench.reopen('plain')
      const id = bench.idOf(job)
      const dead = await next.broker.jobs.find(id)
      strictEqual(dead?.state, 'dead')
      void next.broker.jobs.revive(dead)
      await next.available(1)
      const last = await next.reopen()
      const again = await last.claim()
      deepStrictEqual([last.idOf(again), again.failures], [id, 0])
      last.complete(again)
      await last.over(again)
    },
  },
  {
    name: 'brings the jobs of a task back in their order when it is opened with the task again',
    async check(bench) {
      const gone = bench.addAll(5)
      const single = bench.add({ task: 'single' })
      await bench.stored(...gone, single)
      const next = await bench.reopen('plain', 'single')
      await next.available(6)
      ok(await next.nothingElse(), 'a job was shown that no thread can run')
      const last = await next.reopen()
      const again = await last.runAll(6)
      deepStrictEqual(
        again.filter(({ entry }) => entry.task.name === 'plain').map((job) => last.idOf(job)),
        gone.map((job) => bench.idOf(job)),
      )
    },
  },
]

/** Those of a broker that several processes share. */
export const sharedStrangerRules: readonly Rule[] = [
  {
    name: 'leaves the jobs of a task that it does not have to a process that has it',
    async check(bench) {
      const other = await bench.beside('plain')
      const jobs = bench.addAll(20)
      for (const _ of jobs) bench.complete(await bench.claim())
      await Promise.all(jobs.map((job) => bench.over(job)))
      deepStrictEqual(
        jobs.map(({ state, attempts }) => [state, attempts]),
        jobs.map(() => ['completed', 1]),
      )
      ok(await other.nothingElse(), 'a job was shown that no thread can run')
    },
  },
]
