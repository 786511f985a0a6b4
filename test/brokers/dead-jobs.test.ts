import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { type Broker, defineTask, type JobQuery, memoryBroker, OptionsInvalidError } from '../../src/index.ts'
import { nextEvent } from '../kit/jobs.ts'
import { type LooseRuntime, startThreads } from '../kit/threads.ts'

const module = new URL('../fixtures/handlers/history.ts', import.meta.url)
const taskOf = (name: string) =>
  defineTask({
    name,
    payload: z.unknown(),
    retry: { maxAttempts: 2, backoff: { delay: 0 } },
    handler: { module, export: 'flaky' },
  })

function sqlite(): Broker {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-dead-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
}

/** A runtime with dead jobs: three of `a`, one of `b`. */
async function withDead(broker: Broker) {
  const runtime = startThreads([taskOf('a'), taskOf('b')], { broker })
  const jobs = ['a', 'a', 'a', 'b'].map((name) => runtime.enqueue(name, 9))
  await Promise.all(jobs.map((job) => job.settled))
  return { runtime, jobs, ids: jobs.map(({ id }) => id) }
}

describe.each([
  ['memory', memoryBroker],
  ['sqlite', sqlite],
])('dead jobs with the %s broker', (_name, make) => {
  test('are listed newest first, of one task when asked', async () => {
    const { runtime, ids } = await withDead(make())
    const idsOf = async (query: JobQuery) => (await runtime.jobs(query)).jobs.map(({ id }) => id)
    expect(new Set(await idsOf({ state: 'dead' }))).toEqual(new Set(ids))
    expect(await idsOf({ state: ['dead', 'cancelled'], task: 'b' })).toEqual([ids[3]])
    expect(await idsOf({ state: 'dead', task: 'a', limit: 1 })).toEqual([ids[2]])
    expect(await idsOf({ state: 'dead', limit: 0 })).toEqual([])
  })

  test('are grouped by task and error, with what was there before this process apart from what is new', async () => {
    const { runtime, ids } = await withDead(make())
    const groups = await runtime.failures()
    const same = { code: 'RangeError', message: 'attempt # failed', isNew: true }
    expect(groups.toSorted((one, other) => other.count - one.count)).toMatchObject([
      { ...same, task: 'a', count: 3, sample: { name: 'a', state: 'dead' } },
      { ...same, task: 'b', count: 1, sample: { id: ids[3], error: { message: 'attempt 2 failed' } } },
    ])
    for (const { firstAt, lastAt, frame } of groups) {
      expect(firstAt).toBeLessThanOrEqual(lastAt)
      expect(frame).toMatch(/flaky .*handlers.history\.ts:\d+:\d+/)
    }
    expect(await runtime.failures({ task: 'b', limit: 1 })).toMatchObject([{ task: 'b', count: 1 }])
    expect(await runtime.failures({ error: 'timeout' })).toEqual([])
  })

  test('are counted by task and by pool, and the oldest that could run is told apart', async () => {
    const { runtime } = await withDead(make())
    expect(await runtime.oldestAge()).toBeUndefined()
    runtime.pause()
    const job = runtime.enqueue('b', 0)
    await job.stored
    expect(await runtime.counts({ by: 'task' })).toMatchObject({
      a: { dead: 3, available: 0 },
      b: { dead: 1, available: 1 },
    })
    expect(await runtime.counts({ by: 'pool' })).toMatchObject({ default: { dead: 4, available: 1 } })
    expect(await runtime.counts({ by: 'state' })).toEqual(await runtime.counts())
    expect(await runtime.oldestAge({ task: 'b' })).toBeGreaterThanOrEqual(0)
    expect(await runtime.oldestAge({ task: 'a' })).toBeUndefined()
    await expect(runtime.oldestAge({ pool: 7 as never })).rejects.toBeInstanceOf(OptionsInvalidError)
    await expect(runtime.counts({ by: 'key' as never })).rejects.toThrow("expected 'state', 'task' or 'pool'")
  })

  test('go on counting attempts when they are revived, and keep the errors of all', async () => {
    const { runtime, ids } = await withDead(make())
    const [first = ''] = ids
    const dead = nextEvent(runtime, 'job:dead')
    expect(await runtime.revive(first)).toBe(true)
    await dead
    const { attempts, history } = (await runtime.job(first)) ?? {}
    expect(attempts).toBe(4)
    expect(history?.map(({ error }) => error?.message)).toEqual(
      [1, 2, 3, 4].map((n) => `attempt ${n} failed`),
    )
  })

  test('tell their second end to those who had heard of the first', async () => {
    const { runtime, jobs } = await withDead(make())
    const [job] = jobs
    expect(await runtime.revive(job?.id ?? '')).toBe(true)
    expect(await job?.settled).toMatchObject({ state: 'dead', attempts: 4 })
    runtime.pause()
    await runtime.revive(job?.id ?? '')
    expect(job?.state).toBe('available')
    expect(job?.cancel()).toBe(true)
    expect(await job?.settled).toMatchObject({ state: 'cancelled' })
  })

  test('can all be forgotten, or those of one task', async () => {
    const { runtime, ids } = await withDead(make())
    await runtime.enqueue('a', 0).settled
    expect(await runtime.removeAll({ task: 'b' })).toEqual({ matched: 1, done: 1 })
    expect(await runtime.removeAll()).toEqual({ matched: 3, done: 3 })
    expect(await runtime.job(ids[0] ?? '')).toBeUndefined()
    expect(await runtime.counts()).toMatchObject({ dead: 0, completed: 1 })
    expect(await runtime.removeAll({ state: 'completed' })).toEqual({ matched: 1, done: 1 })
  })

  test('can all start over, or those of one task', async () => {
    const { runtime } = await withDead(make())
    runtime.pause()
    expect(await runtime.reviveAll({ task: 'b' })).toEqual({ matched: 1, done: 1 })
    expect(await runtime.reviveAll()).toEqual({ matched: 3, done: 3 })
    expect(await runtime.counts()).toMatchObject({ dead: 0, available: 4 })
  })

  test('are counted by a dry run of an action on a query, and left as they are', async () => {
    const { runtime } = await withDead(make())
    const told: unknown[] = []
    runtime.on('audit', (event) => told.push(event))
    expect(await runtime.reviveAll({ task: 'a' }, { dryRun: true })).toEqual({ matched: 3, done: 0 })
    expect(await runtime.removeAll({ payload: { n: 1 } }, { dryRun: true })).toEqual({ matched: 0, done: 0 })
    expect((await runtime.counts()).dead).toBe(4)
    expect(told).toEqual([])
  })

  test('are all cancelled once they start over, with progress, and with one event for who did it', async () => {
    const { runtime } = await withDead(make())
    runtime.pause()
    await runtime.reviveAll()
    const told: unknown[] = []
    runtime.on('audit', (event) => told.push(event))
    runtime.on('action:progress', (event) => told.push(event))
    const query = { task: 'a', state: 'available' } as const
    expect(await runtime.cancelAll(query, { by: 'ada' })).toEqual({ matched: 3, done: 3 })
    const about = { action: 'cancel', by: 'ada' }
    const asked = { states: ['available'], tasks: ['a'] }
    expect(told).toEqual([
      { ...about, query: asked, dryRun: false, matched: 3, done: 3 },
      { ...about, on: { query: asked }, count: 3, added: undefined },
    ])
    expect(await runtime.counts()).toMatchObject({ cancelled: 3, available: 1 })
  })

  test('stay as they are from the moment at which the signal of an action aborts', async () => {
    const { runtime } = await withDead(make())
    const signal = AbortSignal.abort()
    expect(await runtime.removeAll({}, { signal })).toEqual({ matched: 0, done: 0 })
    expect((await runtime.counts()).dead).toBe(4)
  })

  test('are neither revived nor forgotten by a filter with a slip in it', async () => {
    const { runtime } = await withDead(make())
    const wrong: [(runtime: LooseRuntime) => Promise<unknown>, string][] = [
      [(it) => it.reviveAll({ tsk: 'a' } as never), 'Did you mean "task"'],
      [
        (it) => it.removeAll({ state: 'running' as never }),
        'expected one of completed, cancelled, skipped, dead',
      ],
      [(it) => it.removeAll({ states: 'dead' } as never), 'Did you mean "state"'],
      [(it) => it.jobs({ state: 'deed' as never }), "or an array of these; did you mean 'dead'"],
      [
        (it) => it.jobs({ limit: -1 }),
        'option "limit" is -1; expected a whole number of at least 0, or Infinity',
      ],
      [(it) => it.job(undefined as never), 'job: the id is missing; expected the id of a job'],
      [(it) => it.revive(5 as never), 'revive: the id is 5; expected the id of a job'],
      [
        (it) => it.remove({ state: 'dead' } as never),
        'remove: the id is an object; expected the id of a job',
      ],
      [(it) => it.cancel(null as never), 'cancel: the id is null; expected the id of a job'],
    ]
    for (const [call, message] of wrong) {
      const refused = call(runtime).catch((error: unknown) => error)
      expect(await refused).toBeInstanceOf(OptionsInvalidError)
      expect(String(await refused)).toContain(message)
    }
    expect((await runtime.counts()).dead).toBe(4)
  })
})

test('jobs of a task that a journal has and its runtime does not are told of, cancelled, revived and removed as all others', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-gone-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const broker = () => sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
  const { runtime: before, ids: dead } = await withDead(broker())
  before.pause()
  const [waits, due] = [before.enqueue('a', { n: 1 }), before.enqueue('a', { n: 2 }, { delay: 60_000 })]
  await Promise.all([waits.stored, due.stored])
  await before.stop({ timeout: 0 })
  const runtime = startThreads([taskOf('b')], { broker: broker() })
  await runtime.ready()
  expect(runtime.stats()).toMatchObject({ pending: 0 })
  expect(await runtime.job(waits.id)).toMatchObject({ name: 'a', state: 'available' })
  expect((await runtime.jobs({ task: 'a', state: ['available', 'scheduled'] })).jobs).toMatchObject([
    { id: due.id, state: 'scheduled' },
    { id: waits.id, state: 'available' },
  ])
  const cancelled = nextEvent(runtime, 'job:cancelled')
  expect([await runtime.cancel(due.id), await runtime.remove(waits.id)]).toEqual([true, false])
  expect((await cancelled).job).toMatchObject({ id: due.id, name: 'a' })
  expect(await runtime.job(due.id)).toMatchObject({ state: 'cancelled' })
  expect([await runtime.revive(dead[0] ?? ''), await runtime.remove(dead[1] ?? '')]).toEqual([true, true])
  expect(await runtime.removeAll({ task: 'a' })).toEqual({ matched: 1, done: 1 })
  expect(await runtime.counts()).toMatchObject({ available: 2, dead: 1, cancelled: 1, scheduled: 0 })
  expect(runtime.stats()).toMatchObject({ pending: 0, cancelled: 1 })
})
