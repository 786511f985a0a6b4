/** A wall clock that somebody sets, over a journal. */
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { type Broker, defineTask } from '../../../src/index.ts'
import { moveTimes } from '../../../workers/journal/moved-times.ts'
import { migrate } from '../../../workers/journal/schema.ts'
import { prepare } from '../../../workers/journal/statements.ts'
import { LeapingClock } from '../../kit/leaping-clock.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { type LooseRuntime, startThreads } from '../../kit/threads.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const TEN_YEARS = 315_360_000_000
const { newFile } = tempFolder('clocks')
const handler = new URL('../../fixtures/handlers/history.ts', import.meta.url)
const tasks = [
  defineTask({ name: 'plain', payload: z.unknown(), handler: { module: handler, export: 'flaky' } }),
]

function start(clock: LeapingClock, broker: Broker): LooseRuntime {
  return startThreads(tasks, { broker, retention: { age: HOUR } }, { clock })
}

function journal(): () => Broker {
  const file = newFile()
  return () => sqliteBroker({ file, durability: 'process' })
}

test.each([-HOUR, HOUR])(
  'a delay over a journal lasts as long as it says when the clock is set by %i ms',
  async (step) => {
    const clock = new LeapingClock()
    const runtime = start(clock, journal()())
    await runtime.ready()
    const job = runtime.enqueue('plain', 0, { delay: 30 * MINUTE, queueTimeout: 60 * MINUTE })
    await job.stored
    clock.jumpWall(step)
    clock.leap(20 * MINUTE)
    // Whatever was due is written before this is answered.
    await runtime.enqueue('plain', 0, { queueTimeout: 60 * MINUTE }).result()
    expect(job.state).toBe('scheduled')
    clock.leap(11 * MINUTE)
    expect(await job.result()).toBe('done')
    await runtime.stop()
  },
)

test('a clock that visits another decade lets go of no result, now or after a restart', async () => {
  const clock = new LeapingClock()
  const make = journal()
  const before = start(clock, make())
  const ids: string[] = []
  for (const step of [0, TEN_YEARS, -TEN_YEARS, -TEN_YEARS, TEN_YEARS]) {
    clock.jumpWall(step)
    const job = before.enqueue('plain', 0)
    await job.result()
    ids.push(job.id)
  }
  const resultsOf = (runtime: LooseRuntime): Promise<unknown[]> =>
    Promise.all(ids.map(async (id) => (await runtime.job(id))?.result))
  clock.leap(45 * MINUTE)
  await before.enqueue('plain', 0).result()
  expect(await resultsOf(before)).toEqual(ids.map(() => 'done'))
  await before.stop()
  const next = start(clock, make())
  await next.enqueue('plain', 0).result()
  expect(await resultsOf(next)).toEqual(ids.map(() => 'done'))
  // Time that passes does let go of them.
  clock.leap(30 * MINUTE)
  await next.enqueue('plain', 0).result()
  clock.leap(2000)
  await next.enqueue('plain', 0).result()
  expect(await resultsOf(next)).toEqual(ids.map(() => undefined))
  await next.stop()
})

test.each([-HOUR, HOUR])(
  'a job in a journal keeps its delay and its queueTimeout over a clock set by %i ms and a restart',
  async (step) => {
    const clock = new LeapingClock()
    const make = journal()
    const before = start(clock, make())
    const job = before.enqueue('plain', 0, { delay: 30 * MINUTE, queueTimeout: 60 * MINUTE })
    await job.stored
    clock.jumpWall(step)
    await before.stop()
    const next = start(clock, make())
    await next.ready()
    const ended = new Promise((resolve) => {
      next.on('job:completed', (event) => resolve(event.job.id))
      next.on('job:dead', (event) => resolve(event.error))
    })
    clock.leap(20 * MINUTE)
    expect((await next.job(job.id))?.state).toBe('scheduled')
    clock.leap(11 * MINUTE)
    expect(await ended).toBe(job.id)
    await next.stop()
  },
)

test('a file that is opened while the clock is ten years ahead loses nothing that is kept for a while', async () => {
  const clock = new LeapingClock()
  const make = journal()
  const before = start(clock, make())
  const job = before.enqueue('plain', 0)
  await job.result()
  await before.stop()
  clock.jumpWall(TEN_YEARS)
  const next = start(clock, make())
  await next.enqueue('plain', 0).result()
  expect((await next.job(job.id))?.result).toBe('done')
  await next.stop()
})

test('a queueTimeout that is put by, since its job was with a thread, moves with all times of a journal whose clock was set', () => {
  const db = new DatabaseSync(':memory:')
  onTestFinished(() => db.close())
  migrate(db, ':memory:')
  const wall = 1_700_000_000_000
  const job = 'task, state, owner, rank, priority, accepted, ready, expires'
  // The run before this one had its clock set back by an hour.
  db.exec(`INSERT INTO runs (prefix, pid, host, boot, started, opened, seen, closed, ahead)
    VALUES ('a', 1, '', '', '', 0, 0, ${wall + HOUR}, ${HOUR})`)
  db.exec(`INSERT INTO jobs (n, ${job}) VALUES (1, 1, 4, 1, 0, 0, ${wall}, ${wall}, ${-(wall + HOUR + 60)}),
    (2, 1, 3, 0, 0, 0, ${wall}, ${wall}, ${wall + HOUR + 60}), (3, 1, 3, 0, 0, 0, ${wall}, ${wall}, NULL)`)
  moveTimes(prepare(db), 2, { wall, isShared: false })
  const moved = db.prepare('SELECT expires FROM jobs ORDER BY n').all()
  expect(moved.map(({ expires }) => expires)).toEqual([-(wall + 60), wall + 60, null])
})
