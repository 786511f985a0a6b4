import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { type Broker, defineTask, memoryBroker, OptionsInvalidError } from '../../src/index.ts'
import { systemClock } from '../../src/words/clock.ts'
import { type LooseRuntime, startThreads } from '../kit/threads.ts'

const module = new URL('../fixtures/handlers/history.ts', import.meta.url)
const taskOf = (name: string, retention?: { count?: number; age?: number }) =>
  defineTask({
    name,
    payload: z.unknown(),
    handler: { module, export: 'flaky' },
    ...(retention && { retention }),
  })
const tasks = [
  taskOf('plain'),
  taskOf('long', { count: 3 }),
  taskOf('brief', { age: 60_000 }),
  taskOf('none', { count: 0 }),
]

function journal(): () => Broker {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-retention-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return () => sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
}

/** Runs jobs one after the other and returns their ids. */
async function run(runtime: LooseRuntime, ...names: string[]): Promise<string[]> {
  const ids: string[] = []
  for (const name of names) {
    const job = runtime.enqueue(name, 0)
    await job.settled
    ids.push(job.id)
  }
  return ids
}

async function statesOf(runtime: LooseRuntime, ids: readonly string[]): Promise<unknown[]> {
  return Promise.all(ids.map(async (id) => (await runtime.job(id))?.result))
}

describe.each([
  ['memory', () => () => memoryBroker()],
  ['sqlite', journal],
])('retention of a task with the %s broker', (_name, make) => {
  test('keeps as many results as the task says, whatever the runtime says', async () => {
    const runtime = startThreads(tasks, { broker: make()(), retention: { count: 1 } })
    const long = await run(runtime, 'long', 'long', 'long', 'long')
    const plain = await run(runtime, 'plain', 'plain')
    await run(runtime, 'plain')
    expect(await statesOf(runtime, long)).toEqual([undefined, 'done', 'done', 'done'])
    expect(await statesOf(runtime, plain)).toEqual([undefined, undefined])
    expect((await runtime.counts()).completed).toBe(4)
  })

  test('keeps nothing of a task whose results nobody reads', async () => {
    const runtime = startThreads(tasks, { broker: make()() })
    const ids = await run(runtime, 'none', 'none', 'plain')
    expect(await statesOf(runtime, ids)).toEqual([undefined, undefined, 'done'])
  })

  test('keeps results for as long as the task says', async () => {
    let ahead = 0
    const clock = {
      ...systemClock,
      now: () => systemClock.now() + ahead,
      wall: () => systemClock.wall() + ahead,
    }
    const runtime = startThreads(tasks, { broker: make()(), retention: { age: 1 } }, { clock })
    const early = await run(runtime, 'brief')
    ahead = 50_000
    await run(runtime, 'brief')
    expect(await statesOf(runtime, early)).toEqual(['done'])
    ahead = 70_000
    await run(runtime, 'brief')
    expect(await statesOf(runtime, early)).toEqual([undefined])
  })
})

test('the journal keeps to a task’s retention over restarts, and to its own once the task has none', async () => {
  const make = journal()
  const before = startThreads(tasks, { broker: make() })
  const ids = await run(before, 'long', 'long', 'long')
  await before.stop()
  const next = startThreads(tasks, { broker: make(), retention: { count: 0 } })
  const [last = ''] = await run(next, 'long')
  expect(await statesOf(next, [...ids, last])).toEqual([undefined, 'done', 'done', 'done'])
  await next.stop()
  const changed = startThreads([taskOf('plain'), taskOf('long')], { broker: make(), retention: { count: 0 } })
  await run(changed, 'plain')
  expect(await statesOf(changed, [...ids, last])).toEqual([undefined, undefined, undefined, undefined])
})

test.each([
  [{}, 'count'],
  [{ count: -1 }, 'retention.count'],
  [{ age: 'a week' as never }, 'retention.age'],
  [{ days: 3 } as never, 'retention.days'],
])('retention %j is refused, naming what is wrong', (retention, named) => {
  expect(() => taskOf('wrong', retention)).toThrow(OptionsInvalidError)
  expect(() => taskOf('wrong', retention)).toThrow(named)
})
