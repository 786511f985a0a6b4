import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { type AttemptInfo, type Broker, defineTask, memoryBroker } from '../../src/index.ts'
import { type LooseRuntime, startThreads } from '../kit/threads.ts'

const module = new URL('../fixtures/handlers/history.ts', import.meta.url)
const taskOf = (name: string, policy: object = {}) =>
  defineTask({ name, payload: z.unknown(), handler: { module, export: name }, ...policy })
const again = { maxAttempts: Number.POSITIVE_INFINITY, backoff: { delay: 0 } }
const tasks = [
  taskOf('flaky', { retry: again }),
  taskOf('spins'),
  taskOf('spinsTwice'),
  taskOf('meets'),
  taskOf('dies'),
]

function sqlite(): Broker {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-history-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return sqliteBroker({ file: join(folder, 'journal.sqlite'), durability: 'process' })
}

async function historyOf(
  runtime: LooseRuntime,
  job: { readonly id: string; readonly settled: Promise<unknown> },
): Promise<readonly AttemptInfo[]> {
  await job.settled
  return (await runtime.job(job.id))?.history ?? []
}

describe.each([
  ['memory', () => memoryBroker()],
  ['memory with history', () => memoryBroker({ history: true })],
  ['sqlite', sqlite],
])('the history of a job with the %s broker', (_name, make) => {
  test('has each attempt with its outcome, error and times, the one that completed it last', async () => {
    const runtime = startThreads(tasks, { broker: make() })
    const before = Date.now()
    const history = await historyOf(runtime, runtime.enqueue('flaky', 2))
    expect(history).toMatchObject([
      {
        attempt: 1,
        outcome: 'failed',
        thread: 1,
        error: { name: 'RangeError', message: 'attempt 1 failed' },
      },
      {
        attempt: 2,
        outcome: 'failed',
        thread: 1,
        error: { name: 'RangeError', message: 'attempt 2 failed' },
      },
      { attempt: 3, outcome: 'completed' },
    ])
    const times = history.flatMap(({ startedAt = 0, endedAt = 0 }) => [startedAt, endedAt])
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    expect(times[0]).toBeGreaterThanOrEqual(before - 1)
    expect(times.at(-1)).toBeLessThanOrEqual(Date.now() + 1)
  })

  test('has the attempt whose thread died', async () => {
    const runtime = startThreads(tasks, { broker: make() })
    const history = await historyOf(runtime, runtime.enqueue('dies'))
    expect(history.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
      [1, 'crashed'],
      [2, 'completed'],
    ])
    expect(history[0]).toMatchObject({ thread: 1, error: { code: 'ERR_THREAD_EXITED' } })
    expect(history[0]?.cpu).toBeUndefined()
  })

  test('keeps the latest fifty attempts', async () => {
    const runtime = startThreads(tasks, { broker: make() })
    const history = await historyOf(runtime, runtime.enqueue('flaky', 60))
    expect(history.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 50 }, (_, n) => n + 12))
  })
})

describe.each([
  ['memory with history', () => memoryBroker({ history: true })],
  ['sqlite', sqlite],
])('CPU time with the %s broker', (_name, make) => {
  test('is what the handler took, over the turns of its loop', async () => {
    const runtime = startThreads(tasks, { broker: make() })
    const [attempt] = await historyOf(runtime, runtime.enqueue('spinsTwice', 10))
    expect(attempt?.thread).toBe(1)
    expect(attempt?.cpu).toBeGreaterThanOrEqual(20)
  })

  test('is charged to each job of a bundle by itself', async () => {
    const runtime = startThreads(tasks, {
      broker: make(),
      bundles: { milliseconds: Number.POSITIVE_INFINITY },
    })
    runtime.pause()
    const jobs = [0, 20, 0].map((milliseconds) => runtime.enqueue('spins', milliseconds))
    await jobs[2]?.stored
    runtime.resume()
    const [before, long, after] = await Promise.all(jobs.map((job) => historyOf(runtime, job)))
    expect(long?.[0]?.cpu).toBeGreaterThanOrEqual(20)
    // Charged with what the long one took, they would have at least as much.
    const most = long?.[0]?.cpu ?? 0
    expect(before?.[0]?.cpu).toBeLessThan(most)
    expect(after?.[0]?.cpu).toBeLessThan(most)
  })

  test('is told of no attempt that shared its thread with another', async () => {
    const runtime = startThreads(tasks, { broker: make(), pool: { threads: 1, concurrency: 4 } })
    const [one, other] = [runtime.enqueue('meets', 2), runtime.enqueue('meets', 2)]
    const [first] = await historyOf(runtime, one)
    const [second] = await historyOf(runtime, other)
    expect([first?.outcome, first?.cpu, second?.outcome, second?.cpu]).toEqual([
      'completed',
      undefined,
      'completed',
      undefined,
    ])
    const [alone] = await historyOf(runtime, runtime.enqueue('spinsTwice', 5))
    expect(alone?.cpu).toBeGreaterThanOrEqual(10)
  })
})

test('the memory broker measures no CPU time unless it is asked to', async () => {
  const runtime = startThreads(tasks)
  const [attempt] = await historyOf(runtime, runtime.enqueue('spins', 1))
  expect(Object.keys(attempt ?? {})).toEqual(['attempt', 'outcome', 'startedAt', 'endedAt'])
})
