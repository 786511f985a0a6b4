import { describe, expect, test } from 'vitest'
import { ThreadExitedError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { addTogether, collectEvents, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const exit = isoTask('misbehave', 'exit', { onCrash: 'fail' })
const exitLater = isoTask('misbehave', 'exitLater', { onCrash: 'fail' })

describe('a handler that calls process.exit', () => {
  test.each([0, 1, 137])(
    'with %i ends its own attempt with that code, and the next job succeeds',
    async (code) => {
      const runtime = startThreads([ok, exit])
      const error = await failureOf(runtime.enqueue(exit, { code }))
      expect(error).toBeInstanceOf(ThreadExitedError)
      expect(error).toMatchObject({ code: 'ERR_THREAD_EXITED', exitCode: code })
      expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
    },
  )

  test('after an await ends its own attempt, and the next job succeeds', async () => {
    const runtime = startThreads([ok, exitLater])
    expect(await failureOf(runtime.enqueue(exitLater, { code: 3 }))).toMatchObject({ exitCode: 3 })
    expect(await runtime.enqueue(ok, 'next').result()).toBe('next')
  })

  test('is told as the unexpected end of a thread', async () => {
    const runtime = startThreads([exit])
    const exited = nextEvent(runtime, 'thread:exited')
    runtime.enqueue(exit, { code: 5 })
    expect(await exited).toMatchObject({ pool: 'default', exitCode: 5, expected: false, restartIn: 0 })
  })

  test('in a bundle costs its neighbours no attempt', async () => {
    const runtime = startThreads([ok, exit], { bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 5 } })
    const interrupted = collectEvents(runtime, 'job:interrupted')
    await runtime.ready()
    const [before, culprit, ...after] = addTogether(runtime, () => [
      runtime.enqueue(ok, 0),
      runtime.enqueue(exit, { code: 1 }),
      runtime.enqueue(ok, 2),
      runtime.enqueue(ok, 3),
      runtime.enqueue(ok, 4),
    ])
    expect(await before?.settled).toMatchObject({ state: 'completed', attempts: 1 })
    expect(await culprit?.settled).toMatchObject({ state: 'dead', attempts: 1 })
    for (const job of after) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
    // They had not started, so nothing was interrupted either.
    expect(interrupted).toEqual([])
  })

  test('beside others of an io thread interrupts them, and they run again with no attempt counted', async () => {
    const runtime = startThreads(Object.values(gateTasks), { pool: { threads: 1, concurrency: 4 } })
    const interrupted = collectEvents(runtime, 'job:interrupted')
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const neighbours = [1, 2].map((at) => runtime.enqueue(gateTasks.wait, { at }))
    const culprit = runtime.enqueue(gateTasks.exit, { at: 3 }, {})
    for (const at of [1, 2, 3]) await gate.reached(at)
    // The new thread has memory of its own, in which the neighbours wait for ever: they are to be cancelled.
    const again = nextEvent(runtime, 'job:interrupted', () => interrupted.length === 2)
    gate.open(3)
    await again
    expect(new Set(interrupted.map(({ job }) => job.id))).toEqual(new Set(neighbours.map((job) => job.id)))
    expect(interrupted[0]?.job.attempt).toBe(1)
    for (const job of neighbours) job.cancel()
    culprit.cancel()
    for (const job of neighbours) expect((await job.settled).attempts).toBeLessThanOrEqual(1)
    expect(await culprit.settled).toMatchObject({ state: 'cancelled' })
  })

  test('after it has returned costs no other job anything: it is told as a stray error', async () => {
    const runtime = startThreads(Object.values(gateTasks))
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const stray = nextEvent(runtime, 'thread:error')
    const culprit = runtime.enqueue('gate.leaveExit', { at: 1 })
    expect(await culprit.result()).toBe('returned')
    const innocent = runtime.enqueue('gate.wait', { at: 2 })
    await gate.reached(2)
    gate.open(1)
    expect(await stray).toMatchObject({
      jobId: culprit.id,
      error: { message: expect.stringContaining('process.exit(7)') },
    })
    gate.open(2)
    expect(await innocent.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })
})
