/** One record that cannot be written: it is refused, or ends, alone. */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { createRuntime, type Job, type Runtime } from '../../../src/index.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { echo, journalFile } from './journal.fixture.ts'

// Each starts a runtime or three, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

// What stands for a key: the first cannot be copied to a thread, the others cannot be bound to a statement.
const unfit = {
  'a promise': Promise.resolve(),
  'a function': () => {},
  'an object': { id: 1 },
  'a list': [1],
  'a symbol': Symbol('key'),
}

describe('a job that holds what cannot be written', () => {
  test.each(Object.entries(unfit))(
    '(%s) is refused alone, and its neighbours of the same turn are stored',
    async (_name, key) => {
      const runtime = spoiling((job) => {
        if (job.payload === '"bad"') job.more.key = key as never
      })
      await runtime.ready()
      const [before, bad, after] = ['before', 'bad', 'after'].map((what) => runtime.enqueue(echo, what))
      await expect(bad?.stored).rejects.toMatchObject({ code: 'ERR_NOT_SERIALIZABLE' })
      expect(await bad?.settled).toMatchObject({
        state: 'cancelled',
        error: { code: 'ERR_NOT_SERIALIZABLE' },
      })
      expect(await results(before, after)).toEqual(['before', 'after'])
      expect(await runtime.enqueue(echo, 'at once').result()).toBe('at once')
      expect(runtime.stats()).toMatchObject({ pending: 0, completed: 3, lost: 1 })
    },
  )

  test('is not waited for by the next job of its batch', async () => {
    const runtime = spoiling((job) => {
      if (job.payload === '"bad"') job.more.key = {} as never
    })
    const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
    const bad = batch.add(echo, 'bad')
    const next = batch.add(echo, 'next')
    batch.settle({ statusCode: 200, outcome: 'sent' } as never)
    expect(await next.result()).toBe('next')
    expect((await bad.settled).state).toBe('cancelled')
  })
})

describe('a result that cannot be written', () => {
  test.each(Object.entries(unfit))('(%s) ends its job as dead, and no other', async (_name, result) => {
    const file = journalFile()
    const runtime = spoiling(
      () => {},
      (job) => (job.payload === '"bad"' ? { result: result as never } : {}),
      file,
    )
    await runtime.ready()
    const [before, bad, after] = ['before', 'bad', 'after'].map((what) => runtime.enqueue(echo, what))
    expect(await bad?.settled).toMatchObject({ state: 'dead', error: { code: 'ERR_NOT_SERIALIZABLE' } })
    expect(await results(before, after)).toEqual(['before', 'after'])
    expect(await runtime.job(bad?.id ?? '')).toMatchObject({ state: 'dead' })
    expect(runtime.stats()).toMatchObject({ pending: 0, completed: 2, dead: 1 })
  })
})

describe('a row that cannot be read any more', () => {
  const columns = ['payload', 'result', 'rest', 'error', 'progress', 'reason', 'key', 'unique_key']
  test.each(columns)('(its %s) spoils no list, no start and no commit', async (column) => {
    const file = journalFile()
    const first = spoiling(() => {}, undefined, file)
    first.pause()
    const jobs = ['one', 'two'].map((what) => first.enqueue(echo, what, { unique: what, timeout: 60_000 }))
    await Promise.all(jobs.map((job) => job.stored))
    await first.stop()
    const db = new DatabaseSync(file)
    const damaged = column === 'payload' || column === 'progress' ? Buffer.from([255, 15, 1]) : '{damaged'
    db.prepare(`UPDATE jobs SET ${column} = ? WHERE n = (SELECT min(n) FROM jobs)`).run(damaged)
    db.close()
    const second = spoiling(() => {}, undefined, file)
    await second.ready()
    await second.enqueue(echo, 'three').result()
    await until(() => second.stats().pending === 0)
    const states = (await second.jobs()).jobs.map(({ state }) => state)
    expect(states).toHaveLength(3)
    expect(states.filter((state) => state === 'completed').length).toBeGreaterThan(1)
    expect(await second.job(jobs[0]?.id ?? '')).toBeDefined()
    for (const { id } of (await second.jobs({ state: 'dead' })).jobs)
      expect(await second.revive(id)).toBe(true)
    await until(() => second.stats().pending === 0)
  })

  test('(a schedule) keeps no other from being set', async () => {
    const file = journalFile()
    const first = spoiling(() => {}, undefined, file)
    first.schedule('one', echo, 1, { every: 3_600_000 })
    first.schedule('two', echo, 1, { every: 3_600_000 })
    await first.schedules()
    await first.stop()
    const db = new DatabaseSync(file)
    db.exec("UPDATE schedules SET definition = '{damaged' WHERE id = 'one'")
    db.close()
    const second = spoiling(() => {}, undefined, file)
    await second.ready()
    expect((await second.schedules()).map(({ id }) => id)).toEqual(['two'])
  })
})

/** A runtime whose broker is given something other than what the engine gives it. */
function spoiling(
  add: (job: JobRecord) => void,
  finish: (job: JobRecord) => object = () => ({}),
  file = journalFile(),
): Runtime<typeof echo> {
  const settings = {
    file,
    durability: 'process',
    isShared: false,
    window: 64,
    retention: { dead: 1e9 },
  } as const
  const broker = new SqliteBroker(settings, new ThreadLink())
  const real = { add: broker.add.bind(broker), finish: broker.finish.bind(broker) }
  broker.add = (job, after) => {
    add(job)
    real.add(job, after)
  }
  broker.finish = (job, ended) => real.finish(job, { ...ended, ...finish(job) })
  const runtime = createRuntime({ tasks: [echo], broker, pool: { threads: 1 }, log: false })
  onTestFinished(async () => void (await runtime.stop({ timeout: 0 })))
  return runtime
}

async function results(...jobs: (Job | undefined)[]): Promise<unknown[]> {
  return Promise.all(jobs.map((job) => job?.result()))
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}
