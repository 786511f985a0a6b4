import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { type AnyTask, defineTask } from '../../../src/index.ts'
import { APPLICATION_ID, MIGRATIONS } from '../../../workers/journal/schema.ts'
import { nextEvent } from '../../kit/jobs.ts'
import { type LooseRuntime, startThreads } from '../../kit/threads.ts'
import { journalFile } from './journal.fixture.ts'

const taskOf = (file: string, name: string, policy: object = {}): AnyTask =>
  defineTask({
    name,
    payload: z.unknown(),
    handler: { module: new URL(`../../fixtures/handlers/${file}.ts`, import.meta.url), export: name },
    ...policy,
  })
const tasks = [
  taskOf('children', 'parent'),
  taskOf('children', 'child', { pool: 'children' }),
  taskOf('children', 'tells'),
  taskOf('history', 'flaky', { retry: { maxAttempts: 2, backoff: { delay: 0 } } }),
]

/** A runtime over the journal that starts no job until a pool is resumed. */
async function start(file: string): Promise<LooseRuntime> {
  const broker = sqliteBroker({ file, durability: 'process' })
  const runtime = startThreads(tasks, { broker, pools: { children: { threads: 1 } } })
  for (const pool of ['default', 'children']) runtime.pause(pool)
  await runtime.ready()
  return runtime
}

test('a job that a handler added has the context of its request after a restart', async () => {
  const file = journalFile()
  const before = await start(file)
  before.resume('default')
  const context = { requestId: 'r1', traceparent: '00-1-2-01', baggage: { tenant: 'a' } }
  const batch = before.openBatch({ order: 'sequential', onFailure: 'continue' }, context)
  const parent = batch.add('parent', { child: 'child' })
  batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
  const id = await parent.result()
  await before.stop()

  const runtime = await start(file)
  const ended = nextEvent(runtime, 'job:completed')
  runtime.resume()
  await ended
  expect((await runtime.job(String(id)))?.result).toEqual(context)
})

test('the last progress of a job can be read after a restart, whether it had ended or not', async () => {
  const file = journalFile()
  const before = await start(file)
  before.resume('default')
  const ended = before.enqueue('tells', { steps: 2 })
  await ended.settled
  const told = nextEvent(before, 'job:progress', ({ progress }) => (progress as { step: number }).step === 5)
  const cut = before.enqueue('tells', { steps: 5, stays: true })
  await told
  await before.stop({ timeout: 0 })

  const runtime = await start(file)
  expect((await runtime.job(ended.id))?.progress).toEqual({ step: 2, at: new Date(2) })
  expect(await runtime.job(cut.id)).toMatchObject({ state: 'available', progress: { step: 5 } })
})

test('a limit that a call has lifted stays lifted after a restart', async () => {
  const file = journalFile()
  const before = await start(file)
  const { id, stored } = before.enqueue('flaky', 4, { maxAttempts: Number.POSITIVE_INFINITY })
  await stored
  await before.stop({ timeout: 0 })

  const runtime = await start(file)
  const ended = nextEvent(runtime, 'job:completed')
  runtime.resume()
  await ended
  expect(await runtime.job(id)).toMatchObject({ state: 'completed', attempts: 5 })
})

test('a journal of an older release is brought up to date with the jobs that it has', async () => {
  const file = journalFile()
  const old = new DatabaseSync(file)
  old.exec(MIGRATIONS[0] ?? '')
  old.exec(`PRAGMA journal_mode = WAL; PRAGMA user_version = 1; PRAGMA application_id = ${APPLICATION_ID};
    INSERT INTO names VALUES (1, 'flaky');
    INSERT INTO runs VALUES (1, 'old-', 1, 'gone', '', '', 0, 0, 1);
    INSERT INTO jobs (n, task, state, owner, rank, priority, accepted, ready, payload) VALUES (8589934593, 1, 3, 0, 0, 0, 0, 0, '1');
    INSERT INTO jobs (n, task, state, owner, rank, priority, accepted, ready, finished, attempts, result)
      VALUES (8589934594, 1, 6, 0, 0, 0, 0, 0, ${Date.now()}, 1, '"kept"');`)
  old.close()
  const runtime = await start(file)
  expect(await runtime.job('old-2')).toMatchObject({ state: 'completed', result: 'kept' })
  runtime.resume()
  while ((await runtime.job('old-1'))?.state !== 'completed') await new Promise(setImmediate)
  expect((await runtime.job('old-1'))?.history).toHaveLength(2)
})
