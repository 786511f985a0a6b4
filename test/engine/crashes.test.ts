import { describe, expect, onTestFinished, test } from 'vitest'
import { memoryBroker } from '../../src/brokers/memory.ts'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { ThreadStartError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { tempFolder } from '../kit/temp-folder.ts'
import { addTogether, collectEvents, failureOf, isoTask, isoTaskAs, startThreads } from '../kit/threads.ts'

const folder = tempFolder('crashes')
const ok = isoTask('misbehave', 'ok')
const exit = (policy: Parameters<typeof isoTask>[2]) => isoTaskAs('exit', 'misbehave', 'exit', policy)

describe('a job whose thread dies', () => {
  test('is tried again by default, and is dead with its third crash', async () => {
    const runtime = startThreads([exit({})])
    const retrying = collectEvents(runtime, 'job:retrying')
    const error = await failureOf(runtime.enqueue('exit', { code: 9 }))
    expect(error).toMatchObject({ code: 'ERR_THREAD_EXITED', exitCode: 9 })
    expect(retrying.map(({ job, delay: wait }) => [job.attempt, wait])).toEqual([
      [1, 0],
      [2, 0],
    ])
  })

  test('has its crashes counted apart from its failures', async () => {
    // One crash may happen, one failure may not: the crash leaves the only attempt that may fail untouched.
    const runtime = startThreads([
      ok,
      isoTask('crash', 'crashThenFail', { retry: { maxAttempts: 2, backoff: { delay: 0 } } }),
    ])
    const job = runtime.enqueue('crash.crashThenFail', { crashes: 2 })
    expect(await job.settled).toMatchObject({
      state: 'dead',
      attempts: 4,
      error: { message: 'failed in attempt 4' },
    })
  })

  test('is dead at once with onCrash "fail"', async () => {
    const runtime = startThreads([exit({ onCrash: 'fail' })])
    expect(await runtime.enqueue('exit', { code: 1 }).settled).toMatchObject({ state: 'dead', attempts: 1 })
  })

  test('is dead with as many crashes as maxCrashes says', async () => {
    const runtime = startThreads([exit({ maxCrashes: 2 })])
    expect(await runtime.enqueue('exit', { code: 1 }).settled).toMatchObject({ state: 'dead', attempts: 2 })
  })

  test('and succeeds at the next try is completed', async () => {
    const runtime = startThreads([isoTask('crash', 'crashThenFail')])
    const job = runtime.enqueue('crash.crashThenFail', { crashes: 1, succeed: true })
    expect(await job.settled).toMatchObject({ state: 'completed', attempts: 2, result: 'attempt 2' })
  })

  test('while it is being cancelled is cancelled, not tried again', async () => {
    const tasks = [ok, ...Object.values(gateTasks)]
    const runtime = startThreads(tasks, { killGrace: 60_000 })
    const gate = new MemoryGate()
    await gate.teach(runtime)
    const job = runtime.enqueue('gate.exit', { at: 1 })
    await gate.reached(1)
    job.cancel()
    gate.open(1)
    expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
    expect(await runtime.enqueue(ok, 1).result()).toBe(1)
  })

  test('keeps the place of its key: the next of its key runs only when it is over', async () => {
    const runtime = startThreads([ok, isoTask('crash', 'crashThenFail')])
    const order: string[] = []
    const [first, second] = [
      runtime.enqueue('crash.crashThenFail', { crashes: 2, succeed: true }, { key: 'k' }),
      runtime.enqueue(ok, 2, { key: 'k' }),
    ]
    runtime.on('job:completed', ({ job }) => order.push(job.id))
    await second?.result()
    expect(order).toEqual([first?.id, second?.id])
  })
})

/** Makes the threads of a pool end when they are told to, with no job to blame. */
function deathOnCall() {
  const name = `death-${Math.random()}`
  const source = `const { exit } = process
    const channel = new BroadcastChannel(${JSON.stringify(name)})
    channel.onmessage = () => exit(6)
    channel.unref()`
  const caller = new BroadcastChannel(name)
  onTestFinished(() => caller.close())
  return {
    execArgv: ['--import', `data:text/javascript,${encodeURIComponent(source)}`],
    call: () => caller.postMessage('die'),
  }
}

describe('a pool whose threads keep dying with no job to blame', () => {
  test('waits before it starts the next, says so, and recovers with the first job that ends well', async () => {
    const clock = new LeapingClock()
    const { execArgv, call } = deathOnCall()
    const runtime = startThreads([ok], { pool: { threads: 1, execArgv } }, { clock })
    const exits = collectEvents(runtime, 'thread:exited')
    for (let death = 1; death <= 4; death++) {
      await nextEvent(runtime, 'thread:started')
      const exited = nextEvent(runtime, 'thread:exited')
      call()
      // Each wait passes at once, by as much as it is said to be.
      clock.leap((await exited).restartIn)
    }
    const waits = exits.map(({ restartIn }) => restartIn)
    expect(waits.map((wait) => wait > 0)).toEqual([false, false, true, true])
    // Each wait is longer than the one before.
    expect(waits[3]).toBeGreaterThan(waits[2] ?? 0)
    expect(await runtime.enqueue(ok, 'never stranded').result()).toBe('never stranded')
    // Recovered: the next death is the first again.
    const next = nextEvent(runtime, 'thread:exited')
    call()
    expect((await next).restartIn).toBe(0)
  })

  test('says it on stderr when nobody listens', async () => {
    const { write } = process.stderr
    const written = Promise.withResolvers<string>()
    process.stderr.write = ((line: string) => {
      if (line.includes('keep dying')) written.resolve(line)
      return true
    }) as typeof write
    try {
      const execArgv = ['--import', 'data:text/javascript,process.exit(6)']
      startThreads([ok], { log: true, pool: { threads: 1, execArgv } })
      expect(await written.promise).toMatch(
        /^aftertask: the threads of pool "default" keep dying \(.*code 6.*\); the next starts in \d+ ms\n$/,
      )
    } finally {
      process.stderr.write = write
    }
  })

  test('does not get round the wait by growing', async () => {
    const { execArgv, call } = deathOnCall()
    const runtime = startThreads([ok], { pool: { min: 1, max: 4, execArgv } })
    const exits: { at: number; restartIn: number }[] = []
    runtime.on('thread:exited', ({ restartIn }) => exits.push({ at: performance.now(), restartIn }))
    for (let death = 1; death <= 3; death++) {
      await nextEvent(runtime, 'thread:started')
      const exited = nextEvent(runtime, 'thread:exited')
      call()
      await exited
    }
    const starts: number[] = []
    runtime.on('thread:started', () => starts.push(performance.now()))
    const jobs = [1, 2, 3].map((number) => runtime.enqueue(ok, number))
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([1, 2, 3])
    const last = exits[2]
    expect(last?.restartIn).toBeGreaterThan(0)
    // A timer may be a millisecond early.
    expect((starts[0] ?? 0) - (last?.at ?? 0)).toBeGreaterThanOrEqual((last?.restartIn ?? 0) - 2)
  })

  test.each([
    ['exits', 'data:text/javascript,process.exit(5)', 'code 5'],
    ['throws', 'data:text/javascript,throw new Error("broken preload")', 'broken preload'],
  ])(
    'because a preload of theirs %s makes ready() reject with why (Piscina: its call hangs)',
    async (_, preload, why) => {
      const runtime = startThreads([ok], { pool: { threads: 1, execArgv: ['--import', preload] } })
      const exits = collectEvents(runtime, 'thread:exited')
      const error = await runtime.ready().then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(ThreadStartError)
      expect(error).toMatchObject({
        code: 'ERR_THREAD_START',
        pool: 'default',
        message: expect.stringContaining(why),
      })
      expect(exits.map(({ restartIn }) => restartIn > 0)).toEqual([false, false, true])
    },
  )
})

describe('a task whose jobs keep ending threads', () => {
  test.each([
    ['memory', memoryBroker],
    ['sqlite', () => sqliteBroker({ file: folder.newFile() })],
  ])('waits alone, and jobs of other tasks keep their threads (broker: %s)', async (_name, broker) => {
    const runtime = startThreads([ok, exit({ onCrash: 'fail' })], {
      broker: broker(),
      pool: { threads: 1, niceness: 0 },
    })
    await runtime.ready()
    const exits = collectEvents(runtime, 'thread:exited')
    const [killers, others] = addTogether(runtime, () => [
      Array.from({ length: 12 }, () => runtime.enqueue('exit', { code: 1 })),
      Array.from({ length: 20 }, (_, number) => runtime.enqueue(ok, number)),
    ])
    await Promise.all(others.map((job) => job.result()))
    // Counted in threads, which no busy machine changes: three in a row, and one or two whose turn it was.
    expect(exits.length).toBeLessThanOrEqual(5)
    const ends = await Promise.all(killers.map((job) => job.settled))
    expect(ends.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual(new Array(12).fill('dead 1'))
    // The pool has waited for nothing.
    expect(exits.map(({ restartIn }) => restartIn)).toEqual(new Array(12).fill(0))
  })
})

describe('queued jobs are never stranded', () => {
  test('by a crash in a pool that has no threads when idle (Piscina: they hang till the next call)', async () => {
    const runtime = startThreads([ok, exit({ onCrash: 'fail' })], { pool: { min: 0, max: 1 } })
    await runtime.ready()
    const [crash, ...jobs] = addTogether(runtime, () => [
      runtime.enqueue('exit', { code: 1 }),
      ...[1, 2, 3].map((number) => runtime.enqueue(ok, number)),
    ])
    expect(await crash?.settled).toMatchObject({ state: 'dead' })
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([1, 2, 3])
  })

  test('by crashes of every thread at once', async () => {
    const runtime = startThreads([ok, exit({ onCrash: 'fail' })], { pool: { threads: 3 } })
    await runtime.ready()
    const crashes = [1, 2, 3].map(() => runtime.enqueue('exit', { code: 1 }))
    const jobs = Array.from({ length: 50 }, (_, number) => runtime.enqueue(ok, number))
    for (const job of crashes) expect(await job.settled).toMatchObject({ state: 'dead' })
    expect(await Promise.all(jobs.map((job) => job.result()))).toHaveLength(50)
  })

  test('by a stop that meets a crash (Piscina: its close spins or kills what runs)', async () => {
    const runtime = startThreads([ok, exit({ onCrash: 'fail' })], { pool: { threads: 2 } })
    await runtime.ready()
    const crash = runtime.enqueue('exit', { code: 1 })
    const jobs = Array.from({ length: 20 }, (_, number) => runtime.enqueue(ok, number))
    expect(await runtime.stop()).toEqual({ completed: 20, failed: 1, lost: [], left: [] })
    expect(crash.state).toBe('dead')
    for (const job of jobs) expect(job.state).toBe('completed')
  })

  test('by many crashes among many jobs: each ends exactly once', async () => {
    const runtime = startThreads([ok, exit({ onCrash: 'fail' })], {
      pool: { threads: 2 },
      bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 16 },
    })
    await runtime.ready()
    const ends = [collectEvents(runtime, 'job:completed'), collectEvents(runtime, 'job:dead')]
    const jobs = addTogether(runtime, () =>
      Array.from({ length: 200 }, (_, number) =>
        number % 25 === 7 ? runtime.enqueue('exit', { code: 1 }) : runtime.enqueue(ok, number),
      ),
    )
    const settlements = await Promise.all(jobs.map((job) => job.settled))
    expect(settlements.filter(({ state }) => state === 'dead')).toHaveLength(8)
    for (const settlement of settlements) expect(settlement.attempts).toBe(1)
    expect(ends.flat()).toHaveLength(200)
  })
})
