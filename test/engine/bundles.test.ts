import { describe, expect, test } from 'vitest'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { addTogether, collectEvents, isoTask, startThreads } from '../kit/threads.ts'

const tasks = [...Object.values(gateTasks), isoTask('misbehave', 'ok')]

async function withGate(options: Parameters<typeof startThreads>[1] = {}, clock?: LeapingClock) {
  const bundles = { milliseconds: Number.POSITIVE_INFINITY, max: 8 }
  const runtime = startThreads(tasks, { bundles, ...options }, clock ? { clock } : {})
  const gate = new MemoryGate()
  await gate.teach(runtime)
  return { runtime, gate }
}

describe('a bundle', () => {
  test('runs its jobs in the order added', async () => {
    const { runtime } = await withGate()
    const jobs = addTogether(runtime, () =>
      Array.from({ length: 8 }, (_, index) => runtime.enqueue('gate.pass', index)),
    )
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  test('never holds a finished result behind a slow neighbour', async () => {
    const { runtime, gate } = await withGate()
    const [first, second, slow, last] = addTogether(runtime, () => [
      runtime.enqueue('misbehave.ok', 'first'),
      runtime.enqueue('misbehave.ok', { large: 'x'.repeat(1000) }),
      runtime.enqueue('gate.block', { at: 1 }),
      runtime.enqueue('misbehave.ok', 'last'),
    ])
    expect(await first?.result()).toBe('first')
    expect(await second?.result()).toEqual({ large: 'x'.repeat(1000) })
    await gate.reached(1)
    expect([slow, last].map((job) => job?.state)).toEqual(['running', 'available'])
    gate.open(1)
    expect(await last?.result()).toBe('last')
  })

  test('gives back the jobs behind a slow one, which run on another thread with no attempt counted', async () => {
    const { runtime, gate } = await withGate({ pool: { min: 1, max: 2 } })
    const [slow, ...behind] = addTogether(runtime, () => [
      runtime.enqueue('gate.block', { at: 1 }),
      runtime.enqueue('misbehave.ok', 1),
      runtime.enqueue('misbehave.ok', 2),
    ])
    for (const job of behind) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
    expect(slow?.state).toBe('running')
    gate.open(1)
    expect(await slow?.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })

  test('shows which of its jobs runs: those behind it are still available', async () => {
    const { runtime, gate } = await withGate()
    const [running, behind] = addTogether(runtime, () => [
      runtime.enqueue('gate.block', { at: 1 }),
      runtime.enqueue('misbehave.ok', 1),
    ])
    await gate.reached(1)
    expect([running?.state, behind?.state]).toEqual(['running', 'available'])
    gate.open(1)
    await behind?.result()
  })

  test('does not leave the neighbours of a failed job without their results', async () => {
    const { runtime, gate } = await withGate()
    gate.open(1)
    const jobs = addTogether(runtime, () => [
      runtime.enqueue('misbehave.ok', 0),
      runtime.enqueue('gate.fail', { at: 1 }),
      runtime.enqueue('misbehave.ok', 2),
    ])
    const settlements = await Promise.all(jobs.map((job) => job.settled))
    expect(settlements.map(({ state }) => state)).toEqual(['completed', 'dead', 'completed'])
  })

  test('tells progress of each of its jobs with that job', async () => {
    const runtime = startThreads([isoTask('misbehave', 'floodProgress')], {
      bundles: { milliseconds: Number.POSITIVE_INFINITY },
    })
    await runtime.ready()
    const told = collectEvents(runtime, 'job:progress')
    const jobs = addTogether(runtime, () =>
      [1, 2, 3].map((count) => runtime.enqueue('misbehave.floodProgress', { count })),
    )
    await Promise.all(jobs.map((job) => job.result()))
    const last = new Map(told.map(({ job, progress }) => [job.id, progress]))
    expect(jobs.map((job) => last.get(job.id))).toEqual([1, 2, 3])
  })
})

test('a lone job is not delayed for company', async () => {
  const { runtime, gate } = await withGate()
  const job = runtime.enqueue('gate.block', { at: 1 })
  // It is with its thread once the turn of the event loop is over, whatever the clock says.
  await new Promise((resolve) => setImmediate(resolve))
  expect(runtime.stats().pools['default']?.busy).toBe(1)
  gate.open(1)
  await job.result()
})

test('a result that finishes beside others of an io thread is told while one of them holds the loop', async () => {
  const clock = new LeapingClock()
  const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 8 } }, clock)
  const neighbour = runtime.enqueue('gate.waitToBeLetGo')
  const holding = runtime.enqueue('gate.letGoAndHold', { at: 1, first: 2 })
  await gate.reached(2)
  // Also long after they were sent.
  clock.leap(1000)
  gate.open(2)
  await gate.reached(1)
  expect(await neighbour.result()).toBe('let go')
  expect(holding.state).toBe('running')
  gate.open(1)
  await holding.result()
})
