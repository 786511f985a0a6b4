import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { QueueTimeoutError, TaskTimeoutError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { addTogether, collectEvents, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const tasks = [
  ...Object.values(gateTasks),
  isoTask('signal', 'awaitAbort'),
  isoTask('signal', 'loopUntilAborted'),
  isoTask('signal', 'loopUntilThrown'),
  isoTask('signal', 'returnDespiteAbort'),
  isoTask('signal', 'awaitOnceThenReturn'),
  isoTask('native', 'waitForChild'),
  isoTask('misbehave', 'ok'),
] as const

const { newFile } = tempFolder('timeouts')

// Far more than a test can take by itself: only a leap gets there.
const HOUR = 3_600_000

async function withGate(options: Parameters<typeof startThreads>[1] = {}, clock?: LeapingClock) {
  const runtime = startThreads(tasks, options, clock === undefined ? {} : { clock })
  const gate = new MemoryGate()
  await gate.teach(runtime)
  return { runtime, gate }
}

describe('the timeout of an attempt', () => {
  test('aborts the signal of a handler that awaits, which then ends by itself on the same thread', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const exits = collectEvents(runtime, 'thread:exited')
    const error = await failureOf(runtime.enqueue('signal.awaitAbort', undefined, { timeout: 20 }))
    expect(error).toBeInstanceOf(TaskTimeoutError)
    expect(error).toMatchObject({
      code: 'ERR_TASK_TIMEOUT',
      cause: { name: 'AbortError', code: 'ERR_ATTEMPT_ABORTED' },
    })
    expect(await runtime.enqueue('misbehave.ok', 1).result()).toBe(1)
    expect(exits).toEqual([])
  })

  test('is seen by a handler that never lets its thread turn and reads signal.aborted', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const exits = collectEvents(runtime, 'thread:exited')
    expect(await runtime.enqueue('signal.loopUntilAborted', undefined, { timeout: 20 }).result()).toBe(
      'saw it',
    )
    expect(await runtime.enqueue('misbehave.ok', 1).result()).toBe(1)
    expect(exits).toEqual([])
  })

  test('is seen by a handler that never lets its thread turn and calls signal.throwIfAborted', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const exits = collectEvents(runtime, 'thread:exited')
    const error = await failureOf(runtime.enqueue('signal.loopUntilThrown', undefined, { timeout: 20 }))
    expect(error).toMatchObject({ code: 'ERR_TASK_TIMEOUT', cause: { name: 'AbortError' } })
    expect(await runtime.enqueue('misbehave.ok', 1).result()).toBe(1)
    expect(exits).toEqual([])
  })

  test('ends the thread of a handler that does not heed the signal, after killGrace and not before', async () => {
    const clock = new LeapingClock()
    const { runtime, gate } = await withGate({ killGrace: 3 * HOUR }, clock)
    const exited = nextEvent(runtime, 'thread:exited')
    const job = runtime.enqueue('gate.spin', { at: 1 }, { timeout: 2 * HOUR })
    await gate.reached(1)
    clock.leap(2 * HOUR)
    await delay(20)
    expect(job.state).toBe('running')
    clock.leap(2 * HOUR)
    await delay(20)
    expect(job.state).toBe('running')
    clock.leap(HOUR)
    expect(await job.settled).toMatchObject({ state: 'dead', error: { code: 'ERR_TASK_TIMEOUT' } })
    expect(await exited).toMatchObject({ expected: true })
  })

  test('does not undo the work of a handler that finishes all the same within its grace', async () => {
    const clock = new LeapingClock()
    const { runtime, gate } = await withGate(
      { killGrace: 3_600_000, pool: { threads: 1, concurrency: 2 } },
      clock,
    )
    const job = runtime.enqueue('gate.finishAfterAbort', { at: 1 }, { timeout: 10 })
    // With a neighbour the thread is looked at all the while.
    const neighbour = runtime.enqueue('gate.wait', { at: 2 })
    await gate.reached(1)
    await gate.reached(2)
    clock.leap(29_000)
    clock.leap(500)
    await delay(20)
    gate.open(1)
    expect(await job.result()).toBe('finished')
    gate.open(2)
    await neighbour.result()
  })

  test('is a failure, so that a retry is made where the task has retries', async () => {
    const { runtime } = await withGate({
      killGrace: 60_000,
      retry: { maxAttempts: 2, backoff: { delay: 0 } },
    })
    const retrying = collectEvents(runtime, 'job:retrying')
    const job = runtime.enqueue('signal.awaitAbort', undefined, { timeout: 5 })
    expect(await job.settled).toMatchObject({
      state: 'dead',
      attempts: 2,
      error: { code: 'ERR_TASK_TIMEOUT' },
    })
    expect(retrying).toMatchObject([{ error: { code: 'ERR_TASK_TIMEOUT' } }])
  })

  test('counts from the start of the attempt, not from acceptance', async () => {
    const clock = new LeapingClock()
    const { runtime, gate } = await withGate({}, clock)
    const before = runtime.enqueue('gate.wait', { at: 1 })
    await gate.reached(1)
    const waiting = runtime.enqueue('misbehave.ok', 'in time', { timeout: 5000 })
    clock.leap(3000)
    await delay(20)
    gate.open(1)
    await before.result()
    expect(await waiting.result()).toBe('in time')
  })

  test('of one job in a bundle ends that one alone', async () => {
    const { runtime, gate } = await withGate({
      bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 4 },
      killGrace: 10,
    })
    const interrupted = collectEvents(runtime, 'job:interrupted')
    const [first, slow, ...after] = addTogether(runtime, () => [
      runtime.enqueue('misbehave.ok', 0),
      runtime.enqueue('gate.spin', { at: 1 }, { timeout: 30 }),
      runtime.enqueue('misbehave.ok', 2),
      runtime.enqueue('misbehave.ok', 3),
    ])
    await gate.reached(1)
    expect(await first?.result()).toBe(0)
    expect(await slow?.settled).toMatchObject({ state: 'dead', error: { code: 'ERR_TASK_TIMEOUT' } })
    for (const job of after) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
    expect(interrupted).toEqual([])
  })

  test('of a deaf handler on an io thread whose loop turns is given up alone: its neighbours finish there', async () => {
    const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 8 }, killGrace: 2000 })
    const interrupted = collectEvents(runtime, 'job:interrupted')
    const neighbours = [1, 2].map((at) => runtime.enqueue('gate.wait', { at }))
    for (const at of [1, 2]) await gate.reached(at)
    const deaf = runtime.enqueue('signal.returnDespiteAbort', { wait: 60_000 }, { timeout: 20 })
    expect(await deaf.settled).toMatchObject({ state: 'dead', error: { code: 'ERR_TASK_TIMEOUT' } })
    gate.open(1)
    gate.open(2)
    for (const job of neighbours) expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
    expect(interrupted).toEqual([])
  })

  test('of a handler that holds the loop of an io thread interrupts its neighbours, which run again', async () => {
    const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 8 }, killGrace: 10 })
    const neighbour = runtime.enqueue('signal.awaitOnceThenReturn')
    await nextEvent(runtime, 'job:progress')
    const interrupted = nextEvent(runtime, 'job:interrupted')
    const spinning = runtime.enqueue('gate.spin', { at: 1 }, { timeout: 20 })
    await gate.reached(1)
    expect((await spinning.settled).error).toMatchObject({ code: 'ERR_TASK_TIMEOUT' })
    expect(await interrupted).toMatchObject({ job: { id: neighbour.id, attempt: 1 } })
    await nextEvent(runtime, 'job:progress', ({ job }) => job.id === neighbour.id && job.attempt === 1)
    neighbour.cancel()
    expect(await neighbour.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
  })

  test('settles the job also when its thread sits in native code and cannot be ended', async () => {
    const clock = new LeapingClock()
    const { runtime } = await withGate({ killGrace: 60_000 }, clock)
    const [sign, gate] = [newFile(), newFile()]
    execFileSync('mkfifo', [sign, gate])
    const opened = openSync(gate, 'r+')
    onTestFinished(() => {
      writeSync(opened, 'go on\n')
      closeSync(opened)
    })
    const job = runtime.enqueue('native.waitForChild', { sign, gate }, { timeout: 60_000 })
    // Written by the process that the thread waits for: by then nothing in the thread can hear of its end.
    await readFile(sign)
    const settled = job.settled
    const exited = nextEvent(runtime, 'thread:exited')
    const dead = nextEvent(runtime, 'job:dead')
    // Its timeout, its killGrace, and the time after which a thread that does not go is written off: each sets the next.
    for (let step = 0; step < 4; step++) {
      clock.leap(60_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await dead
    expect((await exited).error?.message).toContain('native code')
    expect(await settled).toMatchObject({ state: 'dead', error: { code: 'ERR_TASK_TIMEOUT' } })
    // The replacement takes over, although the old thread is still there.
    expect(await runtime.enqueue('misbehave.ok', 'next').result()).toBe('next')
  })
})

describe('queueTimeout', () => {
  test('ends a job that has waited for too long, with no attempt made', async () => {
    const { runtime } = await withGate()
    runtime.pause()
    const job = runtime.enqueue('misbehave.ok', 1, { queueTimeout: 10 })
    const { state, error, attempts } = await job.settled
    expect({ state, attempts }).toEqual({ state: 'dead', attempts: 0 })
    expect(error).toBeInstanceOf(QueueTimeoutError)
    expect(error).toMatchObject({ code: 'ERR_QUEUE_TIMEOUT', message: expect.stringContaining('10 ms') })
  })

  test('has no say once the first attempt has started', async () => {
    const clock = new LeapingClock()
    const { runtime, gate } = await withGate({}, clock)
    const job = runtime.enqueue('gate.wait', { at: 1 }, { queueTimeout: 1000 })
    await gate.reached(1)
    clock.leap(5000)
    gate.open(1)
    expect(await job.settled).toMatchObject({ state: 'completed' })
  })

  test('holds for a job that was sent in a bundle and came back unstarted from behind a slow one', async () => {
    const clock = new LeapingClock()
    const { runtime, gate } = await withGate(
      { bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 2 } },
      clock,
    )
    const [slow, behind] = addTogether(runtime, () => [
      runtime.enqueue('gate.block', { at: 1 }),
      runtime.enqueue('misbehave.ok', 1, { queueTimeout: 3 }),
    ])
    expect(await behind?.settled).toMatchObject({
      state: 'dead',
      error: { code: 'ERR_QUEUE_TIMEOUT' },
      attempts: 0,
    })
    gate.open(1)
    await slow?.result()
  })

  test('counts the time that a job is scheduled or retries of others take, from its acceptance', async () => {
    const { runtime } = await withGate()
    const job = runtime.enqueue('misbehave.ok', 1, { delay: 60_000, queueTimeout: 10 })
    expect(await job.settled).toMatchObject({ state: 'dead', error: { code: 'ERR_QUEUE_TIMEOUT' } })
  })
})

describe('a wall clock that jumps', () => {
  test.each([-86_400_000, 86_400_000])('by %i ms moves no deadline and no delay', async (jump) => {
    const clock = new LeapingClock()
    const { runtime, gate } = await withGate({}, clock)
    const running = runtime.enqueue('gate.wait', { at: 1 }, { timeout: 60_000 })
    await gate.reached(1)
    const expiring = runtime.enqueue('misbehave.ok', 1, { queueTimeout: 60_000 })
    const delayed = runtime.enqueue('misbehave.ok', 2, { delay: 60_000 })
    const dated = runtime.enqueue('misbehave.ok', 3, { runAt: clock.wall() + 60_000 })
    clock.jumpWall(jump)
    await delay(20)
    expect([running.state, expiring.state, delayed.state, dated.state]).toEqual([
      'running',
      'available',
      'scheduled',
      'scheduled',
    ])
    gate.open(1)
    expect(await expiring.result()).toBe(1)
    clock.leap(60_000)
    expect(await Promise.all([delayed.result(), dated.result()])).toEqual([2, 3])
  })
})
