import { describe, expect, onTestFinished, test } from 'vitest'
import { Crossing, waitForGo } from '../kit/crossing.ts'
import { nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { addTogether, collectEvents, failureOf, isoTask, isoTaskAs, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const look = isoTask('state', 'look')

describe('a pool by name', () => {
  test('is a bulkhead: its jobs run while another pool is stuck', async () => {
    const elsewhere = isoTaskAs('elsewhere', 'misbehave', 'ok', { pool: 'io' })
    const runtime = startThreads([...Object.values(gateTasks), elsewhere], {
      pools: { io: { threads: 1, concurrency: 8 } },
    })
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const stuck = runtime.enqueue('gate.block', { at: 1 })
    await gate.reached(1)
    expect(await runtime.enqueue(elsewhere, 'passes').result()).toBe('passes')
    gate.open(1)
    await stuck.result()
  })

  test('that a task asks for and nobody defined is refused when the runtime is made', () => {
    const lost = isoTaskAs('lost', 'misbehave', 'ok', { pool: 'nowhere' })
    expect(() => startThreads([lost])).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTIONS_INVALID',
        message: expect.stringContaining('"lost" asks for pool "nowhere"'),
      }),
    )
  })

  test('without tasks starts no threads', async () => {
    const runtime = startThreads([ok], { pools: { unused: { threads: 4 } } })
    await runtime.ready()
    expect(Object.keys(runtime.stats().pools)).toEqual(['default'])
  })
})

describe('the pool io', () => {
  const learn = isoTaskAs('learn', 'gate', 'learn', { pool: 'io' })
  const wait = isoTaskAs('wait', 'gate', 'wait', { pool: 'io' })

  async function withIo(pools?: Parameters<typeof startThreads>[1]) {
    const runtime = startThreads([learn, wait], pools)
    const gate = new MemoryGate()
    await runtime.enqueue(learn, { memory: gate.memory }, { transfer: [] }).result()
    return { runtime, gate }
  }

  test('is there for a task that asks for it: one thread, many jobs at once', async () => {
    const { runtime, gate } = await withIo()
    const jobs = Array.from({ length: 32 }, (_, index) => runtime.enqueue(wait, { at: index + 1 }))
    for (let at = 1; at <= 32; at++) await gate.reached(at)
    expect(runtime.stats().pools).toEqual({ io: { threads: 1, max: 1, busy: 1 } })
    for (let at = 1; at <= 32; at++) gate.open(at)
    await Promise.all(jobs.map((job) => job.result()))
    runtime.pause('io')
    runtime.resume('io')
  })

  test('is what createRuntime says of it, where it says something', async () => {
    const { runtime } = await withIo({ pools: { io: { threads: 2 } } })
    expect(runtime.stats().pools).toMatchObject({ io: { max: 2 } })
  })
})

describe('jobs that wait for threads which only wait themselves', () => {
  async function linesWhile(handler: 'wait' | 'spin') {
    const lines: string[] = []
    const clock = new LeapingClock()
    const runtime = startThreads(
      Object.values(gateTasks),
      { log: ({ message }) => void lines.push(message) },
      { clock },
    )
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const first = runtime.enqueue(`gate.${handler}`, { at: 1 })
    await gate.reached(1)
    const second = runtime.enqueue('gate.wait', { at: 2 })
    // A second passes at once; the thread's own time is measured as it is.
    const pass = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve))
      clock.leap(1000)
    }
    return { lines, pass, first, second, runtime, gate }
  }

  test('are hinted at once, with the task and what to do', async () => {
    const { lines, pass, runtime, gate, first, second } = await linesWhile('wait')
    while (lines.length === 0) await pass()
    const third = runtime.enqueue('gate.wait', { at: 3 })
    for (let turn = 0; turn < 3; turn++) await pass()
    expect(lines).toEqual([
      expect.stringMatching(/"gate\.wait" wait for a thread of pool "default".*pool: 'io'/),
    ])
    for (const at of [1, 2, 3]) gate.open(at)
    await Promise.all([first, second, third].map((job) => job.result()))
  })

  test('are not hinted at while a thread computes', async () => {
    const { lines, pass } = await linesWhile('spin')
    for (let second = 0; second < 5; second++) await pass()
    expect(lines).toEqual([])
  })
})

describe('a heap limit', () => {
  test('that a flag of the process overrides is told once, when the runtime is made', () => {
    process.env['NODE_OPTIONS'] = '--max-old-space-size=4000'
    onTestFinished(() => void delete process.env['NODE_OPTIONS'])
    const lines: string[] = []
    startThreads([ok], {
      log: ({ message }) => void lines.push(message),
      pool: { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 32 } },
    })
    expect(lines).toEqual([expect.stringMatching(/pool "default" \(32 MB\).*--max-old-space-size=4000/)])
  })
})

test('an io thread runs as many awaiting jobs at once as its concurrency says, and no more', async () => {
  const runtime = startThreads(Object.values(gateTasks), { pool: { threads: 1, concurrency: 3 } })
  const gate = new MemoryGate()
  await gate.teach(runtime)
  const jobs = [1, 2, 3, 4].map((at) => runtime.enqueue('gate.wait', { at }))
  for (const at of [1, 2, 3]) await gate.reached(at)
  expect(jobs.map((job) => job.state)).toEqual(['running', 'running', 'running', 'available'])
  gate.open(2)
  await jobs[1]?.result()
  await gate.reached(4)
  for (const at of [1, 3, 4]) gate.open(at)
  await Promise.all(jobs.map((job) => job.result()))
})

describe('an elastic pool', () => {
  test('grows to its maximum while jobs wait, and no further', async () => {
    const runtime = startThreads([waitForGo], { pool: { min: 1, max: 3 } })
    const crossing = new Crossing()
    const started = collectEvents(runtime, 'thread:started')
    const jobs = Array.from({ length: 12 }, () => runtime.enqueue(waitForGo, crossing.payload))
    await crossing.reached(3)
    crossing.open()
    await Promise.all(jobs.map((job) => job.result()))
    expect(started).toHaveLength(3)
    expect(runtime.stats().pools['default']).toMatchObject({ threads: 3, max: 3 })
  })

  test('shrinks to its minimum once its threads have been idle for idleTimeout', async () => {
    const clock = new LeapingClock()
    const runtime = startThreads([waitForGo], { pool: { min: 1, max: 3, idleTimeout: 60_000 } }, { clock })
    const crossing = new Crossing()
    const jobs = Array.from({ length: 3 }, () => runtime.enqueue(waitForGo, crossing.payload))
    await crossing.reached(3)
    crossing.open()
    await Promise.all(jobs.map((job) => job.result()))
    const exits = collectEvents(runtime, 'thread:exited')
    const shrunk = nextEvent(runtime, 'thread:exited', () => exits.length === 2)
    clock.leap(61_000)
    await shrunk
    expect(exits.map(({ expected }) => expected)).toEqual([true, true])
    clock.leap(61_000)
    expect(runtime.stats().pools['default']?.threads).toBe(1)
    expect(await runtime.enqueue(waitForGo, crossing.payload).settled).toMatchObject({ state: 'completed' })
  })

  test('with a minimum of none ends its last thread when idle, and starts one for the next job', async () => {
    const clock = new LeapingClock()
    const runtime = startThreads([ok], { pool: { min: 0, max: 1, idleTimeout: 60_000 } }, { clock })
    await runtime.ready()
    const exited = nextEvent(runtime, 'thread:exited')
    clock.leap(61_000)
    expect(await exited).toMatchObject({ expected: true, restartIn: 0 })
    expect(runtime.stats().pools['default']?.threads).toBe(0)
    const started = nextEvent(runtime, 'thread:started')
    expect(await runtime.enqueue(ok, 'again').result()).toBe('again')
    await started
  })
})

describe('recycling', () => {
  test('replaces a thread after as many jobs as recycle.jobs says', async () => {
    const runtime = startThreads([look], { pool: { threads: 1, recycle: { jobs: 2 } } })
    const counts: unknown[] = []
    for (let job = 0; job < 5; job++) {
      counts.push(((await runtime.enqueue(look).result()) as { count: number }).count)
    }
    expect(counts).toEqual([1, 2, 1, 2, 1])
  })

  test('never sends a thread more jobs than it has left, also in bundles', async () => {
    const runtime = startThreads([look], {
      pool: { threads: 1, recycle: { jobs: 3 } },
      bundles: { milliseconds: Number.POSITIVE_INFINITY },
    })
    await runtime.ready()
    const jobs = addTogether(runtime, () => Array.from({ length: 7 }, () => runtime.enqueue(look)))
    const counts = await Promise.all(
      jobs.map(async (job) => ((await job.result()) as { count: number }).count),
    )
    expect(counts).toEqual([1, 2, 3, 1, 2, 3, 1])
    for (const job of jobs) expect((await job.settled).attempts).toBe(1)
  })

  test('replaces a thread whose heap has outgrown recycle.heapMb', async () => {
    const hoard = isoTask('hoard', 'hoard')
    const runtime = startThreads([hoard], { pool: { threads: 1, recycle: { heapMb: 60 } } })
    const exited = nextEvent(runtime, 'thread:exited')
    let isOver = false
    void exited.then(() => {
      isOver = true
    })
    let jobs = 0
    while (!isOver && jobs < 200) {
      await runtime.enqueue(hoard, { megabytes: 8 }).result()
      jobs++
    }
    expect(await exited).toMatchObject({ expected: true })
    expect(await runtime.enqueue(hoard, { megabytes: 1 }).result()).toBe(1)
  })

  test('after every job (isolation "job") gives each a fresh thread', async () => {
    const runtime = startThreads([look], { pool: { threads: 1, isolation: 'job' } })
    const jobs = Array.from({ length: 4 }, () => runtime.enqueue(look))
    const counts = await Promise.all(
      jobs.map(async (job) => ((await job.result()) as { count: number }).count),
    )
    expect(counts).toEqual([1, 1, 1, 1])
  })
})

describe('warm-up', () => {
  test('has the handlers imported before the first job', async () => {
    const seen = importsSeen()
    const runtime = startThreads([isoTask('announces-import', 'default')])
    await runtime.ready()
    await expect.poll(() => seen.count).toBe(1)
    seen.close()
  })

  test('turned off imports a handler at its first job', async () => {
    const seen = importsSeen()
    const runtime = startThreads([ok, isoTask('announces-import', 'default')], {
      pool: { threads: 1, warmUp: false },
    })
    await runtime.ready()
    await runtime.enqueue(ok).result()
    expect(seen.count).toBe(0)
    await runtime.enqueue('announces-import.default').result()
    await runtime.enqueue('announces-import.default').result()
    await expect.poll(() => seen.count).toBe(1)
    seen.close()
  })
})

function importsSeen(): { readonly count: number; close(): void } {
  const channel = new BroadcastChannel('iso-announces-import')
  let count = 0
  channel.onmessage = () => count++
  return {
    get count() {
      return count
    },
    close: () => channel.close(),
  }
}

describe('transfer', () => {
  const tasks = [
    isoTask('transfer', 'byteLength'),
    isoTask('transfer', 'give'),
    isoTask('transfer', 'giveDetached'),
  ]

  test('in moves buffers to the handler: the caller has nothing left of them', async () => {
    const runtime = startThreads(tasks)
    const bytes = new Uint8Array(1_000_000).fill(7)
    const job = runtime.enqueue('transfer.byteLength', { bytes }, { transfer: [bytes.buffer] })
    expect(bytes.byteLength).toBe(0)
    expect(await job.result()).toEqual({ byteLength: 1_000_000, first: 7 })
  })

  test('out moves the buffers of a result: the thread has nothing left of them', async () => {
    const runtime = startThreads(tasks)
    const result = (await runtime.enqueue('transfer.give', { byteLength: 500_000 }).result()) as {
      bytes: Uint8Array
    }
    expect(result.bytes.byteLength).toBe(500_000)
    expect(await runtime.enqueue('transfer.giveDetached').result()).toBe(0)
  })

  test('of a buffer that is gone already is refused where the job is added', () => {
    const runtime = startThreads(tasks)
    const bytes = new Uint8Array(8)
    structuredClone(bytes, { transfer: [bytes.buffer] })
    expect(() => runtime.enqueue('transfer.byteLength', { bytes }, { transfer: [bytes.buffer] })).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_SERIALIZABLE' }),
    )
  })

  test('gives a job one attempt: a second is refused, and a crash makes it dead', async () => {
    const exit = isoTask('misbehave', 'exit')
    const runtime = startThreads([exit])
    const { buffer } = new Uint8Array(8)
    expect(() => runtime.enqueue(exit, { code: 1, buffer }, { transfer: [buffer], maxAttempts: 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'maxAttempts' }),
    )
    const job = runtime.enqueue(exit, { code: 1, buffer }, { transfer: [buffer] })
    expect(await job.settled).toMatchObject({
      state: 'dead',
      attempts: 1,
      error: { code: 'ERR_THREAD_EXITED' },
    })
  })

  test('survives that its thread is to be replaced before the job has started there', async () => {
    const runtime = startThreads(tasks, { pool: { threads: 1, concurrency: 4, recycle: { jobs: 1 } } })
    const jobs = Array.from({ length: 6 }, (_, index) => {
      const bytes = new Uint8Array(index + 1)
      return runtime.enqueue('transfer.byteLength', { bytes }, { transfer: [bytes.buffer] })
    })
    const results = await Promise.all(jobs.map((job) => job.result()))
    expect(results).toMatchObject([1, 2, 3, 4, 5, 6].map((byteLength) => ({ byteLength })))
  })
})

test('resourceLimits bound the heap of each thread', async () => {
  const eat = isoTask('misbehave', 'eatMemory', { onCrash: 'fail' })
  const runtime = startThreads([eat], {
    pool: { threads: 1, resourceLimits: { maxOldGenerationSizeMb: 24 } },
  })
  expect(await failureOf(runtime.enqueue(eat))).toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
})
