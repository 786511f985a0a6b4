import { expect, test } from 'vitest'
import { TaskTimeoutError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { addTogether, failureOf, isoTask, isoTaskAs, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const spin = isoTaskAs('spin', 'misbehave', 'spin', { timeout: 50, killGrace: 20 })

test('a handler that never gives its thread back dies of its timeout, and the next job succeeds', async () => {
  const runtime = startThreads([ok, spin])
  const error = await failureOf(runtime.enqueue(spin))
  expect(error).toBeInstanceOf(TaskTimeoutError)
  expect(error.message).toContain('50 ms')
  expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
})

test('a handler that never gives its thread back, in a bundle, costs its neighbours no attempt', async () => {
  const runtime = startThreads([ok, spin], { bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 4 } })
  await runtime.ready()
  const [before, culprit, ...after] = addTogether(runtime, () => [
    runtime.enqueue(ok, 0),
    runtime.enqueue(spin),
    runtime.enqueue(ok, 2),
    runtime.enqueue(ok, 3),
  ])
  // The result before it is not held behind it.
  expect(await before?.settled).toMatchObject({ state: 'completed', attempts: 1 })
  expect(culprit?.state).toBe('running')
  expect(await culprit?.settled).toMatchObject({ state: 'dead', attempts: 1 })
  for (const job of after) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
})

test('a thread that never comes back to its loop is replaced, although no job runs there', async () => {
  const clock = new LeapingClock()
  const runtime = startThreads([ok, ...Object.values(gateTasks)], {}, { clock })
  const gate = new MemoryGate()
  await gate.teach(runtime)
  const told = nextEvent(runtime, 'thread:error')
  await runtime.enqueue('gate.leaveSpin', { at: 1 }).result()
  await gate.reached(1)
  const job = runtime.enqueue(ok, 'innocent')
  // It is sent at the end of this turn, and stuck from then on.
  await new Promise((resolve) => setImmediate(resolve))
  clock.leap(10_000)
  expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
  expect((await told).error.message).toContain('does not answer')
})
