import { describe, expect, test } from 'vitest'
import { JobLostError, RuntimeStoppedError } from '../../src/words/errors.ts'
import { blockingPipe } from '../kit/blocking-pipe.ts'
import { nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { addTogether, collectEvents, failureOf, isoTask, startThreads } from '../kit/threads.ts'

const folder = tempFolder('stop')
const ok = isoTask('misbehave', 'ok')
const tasks = [
  ...Object.values(gateTasks),
  ok,
  isoTask('signal', 'awaitAbort'),
  isoTask('signal', 'nest'),
  isoTask('signal', 'nestLater'),
  isoTask('transfer', 'byteLength'),
]

async function withGate(options: Parameters<typeof startThreads>[1] = {}, clock?: LeapingClock) {
  const runtime = startThreads(tasks, options, clock ? { clock } : {})
  const gate = new MemoryGate()
  await gate.teach(runtime)
  return { runtime, gate }
}

const sent = { statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' } as const

describe('a soft stop', () => {
  test('runs every accepted job, and reports how they ended', async () => {
    const { runtime, gate } = await withGate()
    gate.open(1)
    for (let number = 0; number < 20; number++) runtime.enqueue(ok, number)
    runtime.enqueue('gate.fail', { at: 1 })
    expect(await runtime.stop()).toEqual({ completed: 20, failed: 1, lost: [], left: [] })
  })

  test('refuses further jobs with a typed error, of every kind of call', async () => {
    const { runtime, gate } = await withGate()
    const running = runtime.enqueue('gate.wait', { at: 1 })
    await gate.reached(1)
    const stopped = runtime.stop()
    expect(() => runtime.enqueue(ok, 1)).toThrow(RuntimeStoppedError)
    expect(() => runtime.tryEnqueue(ok, 1)).toThrow(
      expect.objectContaining({
        code: 'ERR_RUNTIME_STOPPED',
        status: 503,
        message: expect.stringContaining('stopping'),
      }),
    )
    expect(() => runtime.enqueueMany([{ task: ok, payload: 1 }])).toThrow(RuntimeStoppedError)
    gate.open(1)
    expect(await stopped).toMatchObject({ completed: 1 })
    expect(running.state).toBe('completed')
    expect(() => runtime.enqueue(ok, 1)).toThrow('stopped')
  })

  test('waits for open responses, which may still add', async () => {
    const { runtime } = await withGate()
    const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
    const first = batch.add('misbehave.ok', 1)
    const stopped = runtime.stop()
    const second = batch.add('misbehave.ok', 2)
    batch.settle(sent)
    expect(await stopped).toEqual({ completed: 2, failed: 0, lost: [], left: [] })
    expect([first.state, second.state]).toEqual(['completed', 'completed'])
  })

  test('runs jobs that handlers add meanwhile', async () => {
    const { runtime } = await withGate()
    const started = nextEvent(runtime, 'job:started')
    const job = runtime.enqueue('signal.nestLater', {
      tasks: [
        ['misbehave.ok', 1],
        ['misbehave.ok', 2],
      ],
    })
    await started
    const stopped = runtime.stop()
    expect(await stopped).toEqual({ completed: 3, failed: 0, lost: [], left: [] })
    expect(await job.result()).toHaveLength(2)
  })

  test('waits for a retry that is due before the deadline', async () => {
    const { runtime, gate } = await withGate({
      retry: { maxAttempts: 2, backoff: { delay: 20, jitter: false } },
    })
    const retrying = nextEvent(runtime, 'job:retrying')
    const job = runtime.enqueue('gate.fail', { at: 1 })
    gate.open(1)
    await retrying
    expect(await runtime.stop()).toMatchObject({ failed: 1, lost: [] })
    expect(await job.settled).toMatchObject({ state: 'dead', attempts: 2 })
  })

  test('does not wait for jobs that are due beyond the deadline: it names them at once', async () => {
    const { runtime } = await withGate()
    const job = runtime.enqueue(ok, 1, { delay: 7_200_000 })
    const behind = runtime.enqueue(ok, 2, { delay: 7_200_000, key: 'k' })
    // Whoever waited for the deadline would wait longer than this test may take.
    const report = await runtime.stop({ timeout: 3_600_000 })
    expect(report.lost).toEqual([
      { id: job.id, name: 'misbehave.ok' },
      { id: behind.id, name: 'misbehave.ok' },
    ])
  })

  test('of a runtime whose threads are still starting ends', async () => {
    const runtime = startThreads([ok])
    expect(await runtime.stop()).toEqual({ completed: 0, failed: 0, lost: [], left: [] })
    await expect(runtime.ready()).rejects.toMatchObject({ code: 'ERR_RUNTIME_STOPPED' })
  })
})

describe('past its deadline a stop', () => {
  test('aborts what runs, and reports by name what was lost', async () => {
    const { runtime } = await withGate({ bundles: { max: 1 } })
    const running = runtime.enqueue('signal.awaitAbort')
    await nextEvent(runtime, 'job:progress')
    const waiting = runtime.enqueue(ok, 1)
    const lost = collectEvents(runtime, 'job:lost')
    expect(await runtime.stop({ timeout: 20 })).toEqual({
      completed: 0,
      failed: 0,
      lost: [
        { id: running.id, name: 'signal.awaitAbort' },
        { id: waiting.id, name: 'misbehave.ok' },
      ],
      left: [],
    })
    expect(lost.map(({ job }) => job.id)).toEqual([running.id, waiting.id])
    for (const job of [running, waiting]) {
      const error = await failureOf(job)
      expect(error).toBeInstanceOf(JobLostError)
      expect(error).toMatchObject({ code: 'ERR_JOB_LOST' })
    }
    expect(runtime.stats()).toMatchObject({ pending: 0, lost: 2, cancelled: 0 })
  })

  test('ends the thread of a handler that does not heed the abort, after killGrace', async () => {
    const { runtime, gate } = await withGate({ killGrace: 30 })
    const job = runtime.enqueue('gate.spin', { at: 1 })
    await gate.reached(1)
    expect((await runtime.stop({ timeout: 0 })).lost).toEqual([{ id: job.id, name: 'gate.spin' }])
  })

  test('waits as long as the longest killGrace of the tasks that run', async () => {
    const clock = new LeapingClock()
    const patient = isoTask('gate', 'letGoAndHold', { killGrace: 120_000 })
    const runtime = startThreads(
      [...Object.values(gateTasks).filter(({ name }) => name !== patient.name), patient],
      { killGrace: 10 },
      { clock },
    )
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const job = runtime.enqueue(patient, { at: 1 })
    await gate.reached(1)
    const stopped = runtime.stop({ timeout: 0 })
    // The deadline first, and from then on the grace.
    clock.leap(1)
    clock.leap(60_000)
    expect(runtime.stats().phase).toBe('stopping')
    gate.open(1)
    expect(await stopped).toEqual({ completed: 1, failed: 0, lost: [], left: [] })
    expect(job.state).toBe('completed')
  })

  test('gives up a thread that sits in native code within a quarter of a second', async () => {
    const clock = new LeapingClock()
    const runtime = startThreads([isoTask('native', 'openPipe')], { killGrace: 10_000 }, { clock })
    const exits = collectEvents(runtime, 'thread:exited')
    const job = runtime.enqueue('native.openPipe', { pipe: blockingPipe(folder.newFile()) })
    await nextEvent(runtime, 'job:progress')
    const stopped = runtime.stop({ timeout: 5000 })
    clock.leap(5000)
    clock.leap(10_000)
    expect(exits).toEqual([])
    clock.leap(250)
    expect(exits).toMatchObject([{ expected: true }])
    expect((await stopped).lost).toEqual([{ id: job.id, name: 'native.openPipe' }])
  })

  test('does not count the attempt that it interrupts', async () => {
    const { runtime } = await withGate()
    const interrupted = collectEvents(runtime, 'job:interrupted')
    const job = runtime.enqueue('signal.awaitAbort')
    await nextEvent(runtime, 'job:progress')
    await runtime.stop({ timeout: 0 })
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 0 })
    expect(interrupted).toMatchObject([{ reason: 'the runtime is stopping' }])
  })

  test('names a job with a moved payload as lost, not as dead', async () => {
    const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 4 } })
    runtime.enqueue('gate.block', { at: 1 })
    await gate.reached(1)
    const { buffer } = new Uint8Array(8)
    const moved = runtime.enqueue('transfer.byteLength', { bytes: buffer }, { transfer: [buffer] })
    // With the thread, which cannot take it up.
    await new Promise((resolve) => setImmediate(resolve))
    expect((await runtime.counts()).running).toBe(2)
    expect((await runtime.stop({ timeout: 0 })).lost.map(({ id }) => id)).toContain(moved.id)
    expect(await failureOf(moved)).toBeInstanceOf(JobLostError)
  })

  test('lets no held, waiting or queued job disappear: each is named once', async () => {
    const { runtime, gate } = await withGate({ bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 4 } })
    const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
    const jobs = [
      runtime.enqueue('gate.spin', { at: 1 }),
      ...addTogether(runtime, () => [1, 2, 3].map((number) => runtime.enqueue(ok, number, { key: 'k' }))),
      runtime.enqueue(ok, 4, { delay: 60_000 }),
      batch.add('misbehave.ok', 5),
      batch.add('misbehave.ok', 6),
    ]
    await gate.reached(1)
    const { lost } = await runtime.stop({ timeout: 0 })
    expect(lost.map(({ id }) => id)).toEqual(jobs.map((job) => job.id))
    expect(runtime.stats().pending).toBe(0)
  })
})

describe('stopping again', () => {
  test('gives the same report', async () => {
    const { runtime } = await withGate()
    runtime.enqueue(ok, 1)
    const [first, second] = await Promise.all([runtime.stop(), runtime.stop()])
    expect(second).toBe(first)
    expect(await runtime.stop({ timeout: 0 })).toBe(first)
  })

  test('with a shorter timeout brings the deadline nearer', async () => {
    const { runtime, gate } = await withGate()
    const job = runtime.enqueue('gate.wait', { at: 1 })
    await gate.reached(1)
    const first = runtime.stop({ timeout: Number.POSITIVE_INFINITY })
    const report = await runtime.stop({ timeout: 0 })
    expect(report.lost).toEqual([{ id: job.id, name: 'gate.wait' }])
    expect(await first).toBe(report)
  })

  test('with a longer timeout puts nothing off', async () => {
    const { runtime, gate } = await withGate()
    runtime.enqueue('gate.wait', { at: 1 })
    await gate.reached(1)
    const first = runtime.stop({ timeout: 10 })
    void runtime.stop({ timeout: 600_000 })
    expect((await first).lost).toHaveLength(1)
  })
})

describe('the events of a stop', () => {
  test('are runtime:stopping, then the ends of its jobs, then runtime:stopped with the figures of the report', async () => {
    const { runtime, gate } = await withGate()
    const told: unknown[] = []
    runtime.on('runtime:stopping', (event) => told.push(['stopping', event]))
    runtime.on('job:completed', () => told.push('completed'))
    runtime.on('runtime:stopped', (event) => told.push(['stopped', event]))
    runtime.enqueue('gate.wait', { at: 1 })
    await gate.reached(1)
    const stopped = runtime.stop()
    gate.open(1)
    await stopped
    await runtime.stop()
    expect(told).toEqual([
      ['stopping', { pending: 1 }],
      'completed',
      ['stopped', { completed: 1, failed: 0, lost: 0, left: 0 }],
    ])
  })

  test('have one runtime:stopping, also when its listener stops the runtime again', async () => {
    const { runtime } = await withGate()
    let begun = 0
    runtime.on('runtime:stopping', () => {
      begun++
      if (begun < 10) void runtime.stop()
    })
    await runtime.stop()
    expect(begun).toBe(1)
  })

  test('tell that its threads end as expected', async () => {
    const { runtime } = await withGate()
    const exits = collectEvents(runtime, 'thread:exited')
    await runtime.stop()
    expect(exits).toMatchObject([{ expected: true, restartIn: 0 }])
  })
})

test.each([Number.NaN, -1])('a stop with a timeout of %d is refused, and stops nothing', async (timeout) => {
  const { runtime } = await withGate()
  await expect(runtime.stop({ timeout })).rejects.toMatchObject({ code: 'ERR_OPTIONS_INVALID' })
  expect(await runtime.enqueue(ok, 1).result()).toBe(1)
})

test('a stopped runtime has no threads, and asyncDispose is a stop', async () => {
  const { runtime } = await withGate()
  await runtime[Symbol.asyncDispose]()
  expect(runtime.stats()).toMatchObject({ phase: 'stopped', pools: { default: { threads: 0 } } })
})
