/** What a runtime counts. */
import { expect, test } from 'vitest'
import { addDuration, HISTOGRAM_WIDTH, histogramAt } from '../../src/engine/durations.ts'
import { isoTask, isoTaskAs, startThreads } from '../kit/threads.ts'

const crash = isoTask('crash', 'crashThenFail', { retry: { maxAttempts: 2, backoff: { delay: 1 } } })
const idle = isoTaskAs('idle', 'crash', 'crashThenFail')

test('a runtime counts the jobs and attempts of each task by how they ended, and the threads of each pool', async () => {
  const runtime = startThreads([crash, idle])
  await runtime.enqueue(crash, { crashes: 0, succeed: true }).settled
  await runtime.enqueue(crash, { crashes: 1, succeed: true }).settled
  await runtime.enqueue(crash, { crashes: 0 }).settled
  const cancelled = runtime.enqueue(crash, { crashes: 0 }, { delay: 60_000 })
  cancelled.cancel()
  await cancelled.settled
  const { tasks, pools } = runtime.metrics()
  expect(tasks[crash.name]).toMatchObject({
    pool: 'default',
    enqueued: 4,
    ended: { completed: 2, cancelled: 1, skipped: 0, dead: 1, lost: 0 },
    attempts: { completed: 2, failed: 2, crashed: 1, cancelled: 0, interrupted: 0 },
    // Nobody can tell how long the attempt ran that took its thread with it.
    run: { count: 4 },
    wait: { count: 4 },
    total: { count: 4 },
  })
  expect(tasks['idle']).toMatchObject({ enqueued: 0, ended: { completed: 0 }, run: { count: 0, sum: 0 } })
  expect(pools['default']).toMatchObject({ died: 1, max: 1 })
  expect(pools['default']?.started).toBeGreaterThanOrEqual(2)
})

test('a runtime counts payloads in bytes as they are encoded', () => {
  const runtime = startThreads([crash])
  runtime.enqueue(crash, 'xyz', { delay: 60_000 })
  expect(runtime.metrics().tasks[crash.name]?.payloadBytes).toBe(JSON.stringify('xyz').length)
})

test('a runtime counts the bytes of a payload that is too large for text, as those that are pending', () => {
  const runtime = startThreads([crash])
  const rows = Array.from({ length: 1000 }, (_, row) => ({ row, text: 'one of many rows' }))
  runtime.enqueue(crash, rows, { delay: 60_000 })
  const { payloadBytes } = runtime.metrics().tasks[crash.name] ?? {}
  expect(payloadBytes).toBeGreaterThan(1000 * 'one of many rows'.length)
  expect(payloadBytes).toBe(runtime.stats().pendingBytes)
})

test('a runtime counts the calls that it has refused, by the code of their error, of one job and of many', () => {
  const runtime = startThreads([crash], { maxPending: 1 })
  const add = (): unknown => runtime.enqueue(crash, { crashes: 0 }, { delay: 60_000 })
  add()
  expect(add).toThrow()
  expect(() => runtime.enqueue('nobody')).toThrow()
  expect(() => runtime.enqueueMany([{ task: 'nobody' }])).toThrow()
  expect(runtime.metrics().refused).toEqual({ ERR_QUEUE_FULL: 1, ERR_UNKNOWN_TASK: 2 })
})

test('a histogram counts a duration in its bucket and in those above, and what is longer than all in the count alone', () => {
  const numbers = new Float64Array(1 + HISTOGRAM_WIDTH)
  for (const duration of [0.2, 1, 1.01, 40, 1e9, -3]) addDuration(numbers, 1, duration)
  const { count, sum, buckets } = histogramAt(numbers, 1)
  const upTo = (bound: number): number | undefined => buckets.find(({ le }) => le === bound)?.count
  expect([count, sum]).toEqual([6, 0.2 + 1 + 1.01 + 40 + 1e9])
  expect([1, 2.5, 25, 50, 1_800_000].map(upTo)).toEqual([3, 4, 4, 5, 5])
  // What lies before it is another's.
  expect(numbers[0]).toBe(0)
})
