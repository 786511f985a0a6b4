import { getEventListeners } from 'node:events'
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { engineOf } from '../../src/engine/runtime.ts'
import { TaskCancelledError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import {
  addTogether,
  collectEvents,
  failureOf,
  isoTask,
  type LooseRuntime,
  startThreads,
} from '../kit/threads.ts'

const tasks = [
  ...Object.values(gateTasks),
  isoTask('signal', 'awaitAbort'),
  isoTask('signal', 'loopUntilAborted'),
  isoTask('signal', 'loopUntilThrown'),
  isoTask('signal', 'returnDespiteAbort'),
  isoTask('signal', 'listenLate'),
  isoTask('misbehave', 'ok'),
]

const folder = tempFolder('cancel')

async function withGate(options: Parameters<typeof startThreads>[1] = {}) {
  const runtime = startThreads(tasks, options)
  const gate = new MemoryGate()
  await gate.teach(runtime)
  return { runtime, gate }
}

/** A batch whose response is not over yet. */
function openBatch(runtime: LooseRuntime) {
  return runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
}

describe('cancelling a job that has not started', () => {
  test('and is held by its response ends it: it does not run when the response is over', async () => {
    const { runtime, gate } = await withGate()
    const batch = openBatch(runtime)
    const [cancelled, other] = [batch.add('gate.pass', 1), batch.add('gate.pass', 2)]
    expect(cancelled.state).toBe('held')
    expect(cancelled.cancel()).toBe(true)
    batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
    expect(await other.result()).toBe(0)
    expect(cancelled.state).toBe('cancelled')
    expect(gate.tickets).toBe(1)
  })

  test('and waits behind another of its key ends it, and the one behind it moves up', async () => {
    const { runtime, gate } = await withGate()
    const [first, cancelled, last] = [
      runtime.enqueue('gate.wait', { at: 1 }, { key: 'k' }),
      runtime.enqueue('gate.pass', 1, { key: 'k' }),
      runtime.enqueue('gate.pass', 2, { key: 'k' }),
    ]
    expect(cancelled?.state).toBe('waiting')
    expect(cancelled?.cancel()).toBe(true)
    gate.open(1)
    expect(await first?.result()).toBe(0)
    expect(await last?.result()).toBe(1)
    expect(await cancelled?.settled).toMatchObject({ state: 'cancelled', attempts: 0 })
  })

  test('and waits behind another of its batch ends it, and the one behind it moves up', async () => {
    const { runtime, gate } = await withGate()
    const batch = openBatch(runtime)
    const [first, cancelled, last] = [
      batch.add('gate.wait', { at: 1 }),
      batch.add('gate.pass', 1),
      batch.add('gate.pass', 2),
    ]
    batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
    expect(cancelled?.state).toBe('waiting')
    cancelled?.cancel()
    gate.open(1)
    await first?.result()
    expect(await last?.result()).toBe(1)
  })

  test('and is scheduled ends it', async () => {
    const { runtime } = await withGate()
    const job = runtime.enqueue('misbehave.ok', 1, { delay: 60_000 })
    expect(job.state).toBe('scheduled')
    expect(job.cancel()).toBe(true)
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 0 })
  })

  test('and is available ends it', async () => {
    const { runtime } = await withGate()
    runtime.pause()
    const job = runtime.enqueue('misbehave.ok', 1)
    expect(job.state).toBe('available')
    expect(job.cancel()).toBe(true)
    runtime.resume()
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 0 })
    expect(await runtime.enqueue('misbehave.ok', 2).result()).toBe(2)
  })

  test('and stands in a bundle behind another ends it at once, and its neighbours run', async () => {
    const { runtime, gate } = await withGate({ bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 3 } })
    const [first, cancelled, last] = addTogether(runtime, () => [
      runtime.enqueue('gate.block', { at: 1 }),
      runtime.enqueue('gate.pass'),
      runtime.enqueue('gate.pass'),
    ])
    await gate.reached(1)
    expect(cancelled?.cancel()).toBe(true)
    expect(cancelled?.state).toBe('cancelled')
    gate.open(1)
    expect(await first?.result()).toBe(0)
    expect(await last?.result()).toBe(1)
    expect(await cancelled?.settled).toMatchObject({ attempts: 0 })
  })

  test('in great numbers on a thread that does not take them up leaves it with room for others', async () => {
    const { runtime, gate } = await withGate({ bundles: { milliseconds: Number.POSITIVE_INFINITY } })
    runtime.on('thread:error', () => {})
    await runtime.enqueue('gate.leaveBlock', { at: 1 }).result()
    await gate.reached(1)
    for (let round = 0; round < 4; round++) {
      const jobs = addTogether(runtime, () =>
        Array.from({ length: 1500 }, (_, index) => runtime.enqueue('misbehave.ok', index)),
      )
      await new Promise((resolve) => setImmediate(resolve))
      for (const job of jobs) job.cancel()
      await Promise.all(jobs.map((job) => job.settled))
    }
    const last = runtime.enqueue('misbehave.ok', 'last')
    gate.open(1)
    expect(await last.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })
})

describe('cancelling a running job', () => {
  test('whose handler heeds the signal ends it on the same thread', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const exits = collectEvents(runtime, 'thread:exited')
    const job = runtime.enqueue('signal.awaitAbort')
    await nextEvent(runtime, 'job:progress')
    const cancelled = nextEvent(runtime, 'job:cancelled')
    expect(job.cancel('no longer needed')).toBe(true)
    const error = await failureOf(job)
    expect(error).toBeInstanceOf(TaskCancelledError)
    expect(error).toMatchObject({ code: 'ERR_TASK_CANCELLED', cause: 'no longer needed' })
    expect(await cancelled).toMatchObject({ job: { id: job.id, attempt: 1 } })
    expect(await runtime.enqueue('misbehave.ok', 1).result()).toBe(1)
    expect(exits).toEqual([])
  })

  test('that never lets its thread turn is seen by it in signal.aborted', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const job = runtime.enqueue('signal.loopUntilThrown')
    await nextEvent(runtime, 'job:progress')
    job.cancel()
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
  })

  test('that does not heed the signal ends its thread after killGrace, and the next job succeeds', async () => {
    const { runtime, gate } = await withGate({ killGrace: 20 })
    const job = runtime.enqueue('gate.spin', { at: 1 })
    await gate.reached(1)
    const exited = nextEvent(runtime, 'thread:exited')
    expect(job.cancel()).toBe(true)
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
    expect(await exited).toMatchObject({ expected: true })
    expect(await runtime.enqueue('misbehave.ok', 1).result()).toBe(1)
  })

  test('in a bundle costs its neighbours no attempt', async () => {
    const { runtime, gate } = await withGate({
      killGrace: 20,
      bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 3 },
    })
    const interrupted = collectEvents(runtime, 'job:interrupted')
    const [before, stubborn, after] = addTogether(runtime, () => [
      runtime.enqueue('misbehave.ok', 0),
      runtime.enqueue('gate.spin', { at: 1 }),
      runtime.enqueue('misbehave.ok', 2),
    ])
    await gate.reached(1)
    stubborn?.cancel()
    expect(await stubborn?.settled).toMatchObject({ state: 'cancelled' })
    for (const job of [before, after]) {
      expect(await job?.settled).toMatchObject({ state: 'completed', attempts: 1 })
    }
    expect(interrupted).toEqual([])
  })

  test('that completes all the same stays completed: the work is done', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const started = nextEvent(runtime, 'job:started')
    const job = runtime.enqueue('signal.returnDespiteAbort')
    await started
    expect(job.cancel()).toBe(true)
    expect(await job.settled).toMatchObject({ state: 'completed', result: 'done all the same' })
  })

  test('makes no retry, whatever the task would have', async () => {
    const { runtime } = await withGate({ killGrace: 20, retry: { maxAttempts: 5, backoff: { delay: 0 } } })
    const retrying = collectEvents(runtime, 'job:retrying')
    const job = runtime.enqueue('gate.spin', { at: 1 })
    await hasStarted(runtime, job)
    job.cancel()
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
    expect(retrying).toEqual([])
  })
})

async function hasStarted(runtime: LooseRuntime, job: { id: string }): Promise<void> {
  await nextEvent(runtime, 'job:started', (event) => event.job.id === job.id)
}

describe('a job that is cancelled', () => {
  test('by its id is found by it, wherever it stands', async () => {
    const { runtime, gate } = await withGate({ killGrace: 20 })
    const running = runtime.enqueue('gate.spin', { at: 1 })
    await gate.reached(1)
    const waiting = runtime.enqueue('misbehave.ok', 1)
    expect(await runtime.cancel(waiting.id)).toBe(true)
    expect(await runtime.cancel(running.id, 'stop it')).toBe(true)
    expect(await waiting.settled).toMatchObject({ state: 'cancelled', attempts: 0 })
    expect(await failureOf(running)).toMatchObject({ code: 'ERR_TASK_CANCELLED', cause: 'stop it' })
  })

  test('by an unknown id, or when it is over, is none: the answer is false', async () => {
    const { runtime } = await withGate()
    const job = runtime.enqueue('misbehave.ok', 1)
    await job.result()
    expect(job.cancel()).toBe(false)
    expect(await runtime.cancel(job.id)).toBe(false)
    expect(await runtime.cancel('j0-nobody')).toBe(false)
    expect(job.state).toBe('completed')
  })

  test('while it waits for a retry is retried no more', async () => {
    const { runtime, gate } = await withGate({
      retry: { maxAttempts: 3, backoff: { delay: 60_000, jitter: false } },
    })
    const retrying = nextEvent(runtime, 'job:retrying')
    const job = runtime.enqueue('gate.fail', { at: 1 })
    gate.open(1)
    await retrying
    await Promise.resolve()
    expect(job.cancel()).toBe(true)
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
  })

  test('twice is told once', async () => {
    const { runtime, gate } = await withGate({ killGrace: 20 })
    const told = collectEvents(runtime, 'job:cancelled')
    const job = runtime.enqueue('gate.spin', { at: 1 })
    await gate.reached(1)
    job.cancel('first')
    job.cancel('second')
    expect(await failureOf(job)).toMatchObject({ cause: 'first' })
    expect(told).toHaveLength(1)
  })
})

describe('an AbortSignal given to enqueue', () => {
  test('cancels a waiting job, with its reason', async () => {
    const { runtime } = await withGate()
    runtime.pause()
    const controller = new AbortController()
    const job = runtime.enqueue('misbehave.ok', 1, { signal: controller.signal })
    controller.abort('the client has left')
    expect(await failureOf(job)).toMatchObject({ code: 'ERR_TASK_CANCELLED', cause: 'the client has left' })
  })

  test('cancels a running job', async () => {
    const { runtime } = await withGate({ killGrace: 60_000 })
    const controller = new AbortController()
    const job = runtime.enqueue('signal.awaitAbort', undefined, { signal: controller.signal })
    await nextEvent(runtime, 'job:progress')
    controller.abort()
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
  })

  test('reaches a listener that is added to a signal made from `ctx.signal` while the abort is under way', async () => {
    const { runtime, gate } = await withGate({ killGrace: 60_000 })
    const controller = new AbortController()
    const job = runtime.enqueue('gate.listenLate', { at: 1 }, { signal: controller.signal })
    await gate.reached(1)
    controller.abort()
    gate.open(1)
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
  })

  test('that has aborted already gives a job that is cancelled from the start', async () => {
    const { runtime } = await withGate()
    const job = runtime.enqueue('misbehave.ok', 1, { signal: AbortSignal.abort('too late') })
    expect(job.state).toBe('cancelled')
    expect(await failureOf(job)).toMatchObject({ cause: 'too late' })
    expect(runtime.stats().pending).toBe(0)
  })

  test('has one listener however many jobs it is given to, and none once they are over', async () => {
    const { runtime } = await withGate()
    const { signal } = new AbortController()
    const jobs = Array.from({ length: 20 }, (_, index) => runtime.enqueue('misbehave.ok', index, { signal }))
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    await Promise.all(jobs.map((job) => job.result()))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('has no effect once its job is over', async () => {
    const { runtime } = await withGate()
    const controller = new AbortController()
    const job = runtime.enqueue('misbehave.ok', 1, { signal: controller.signal })
    await job.result()
    controller.abort()
    expect(job.state).toBe('completed')
  })
})

test('after every way of cancelling nothing is pending and no lane holds a job', async () => {
  const { runtime, gate } = await withGate({
    killGrace: 20,
    bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 8 },
  })
  const jobs = addTogether(runtime, () => [
    runtime.enqueue('misbehave.ok', 0),
    runtime.enqueue('gate.spin', { at: 1 }),
    runtime.enqueue('misbehave.ok', 2, { delay: 60_000 }),
    runtime.enqueue('misbehave.ok', 3, { key: 'k' }),
    runtime.enqueue('misbehave.ok', 4, { key: 'k' }),
  ])
  await gate.reached(1)
  for (const job of jobs) job.cancel()
  await Promise.all(jobs.map((job) => job.settled))
  expect(runtime.stats().pending).toBe(0)
  const engine = (runtime as unknown as { [engineOf]: { pools: { isBusy: boolean } } })[engineOf]
  expect(engine.pools.isBusy).toBe(false)
  expect(await runtime.counts()).toMatchObject({ available: 0, running: 0, waiting: 0, scheduled: 0 })
})

test('a handler that only listens to its signal hears of a cancel that came before it had looked for the signal', async () => {
  // Nothing but the signal ends it.
  const runtime = startThreads(tasks, { killGrace: 3_600_000 })
  const file = folder.newFile()
  const here = nextEvent(runtime, 'job:progress')
  const job = runtime.enqueue('signal.listenLate', { file })
  await here
  expect(job.cancel('enough')).toBe(true)
  writeFileSync(file, '')
  expect((await job.settled).state).toBe('cancelled')
})
