import { describe, expect, test } from 'vitest'
import { OptionsInvalidError, QueueFullError } from '../../src/words/errors.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { gateTasks, MemoryGate } from '../kit/memory-gate.ts'
import { addTogether, collectEvents, isoTask, isoTaskAs, startThreads } from '../kit/threads.ts'

const ok = isoTask('misbehave', 'ok')
const tasks = [...Object.values(gateTasks), ok]

async function withGate(
  options: Parameters<typeof startThreads>[1] = {},
  more = [] as typeof tasks,
  clock?: LeapingClock,
) {
  const runtime = startThreads([...tasks, ...more], options, clock ? { clock } : {})
  const gate = new MemoryGate()
  await gate.teach(runtime)
  return { runtime, gate }
}

describe('maxPending', () => {
  test('refuses the job that is one too many, where it is added, and keeps nothing of it', async () => {
    const { runtime } = await withGate({ maxPending: 2 })
    runtime.pause()
    const jobs = [runtime.enqueue(ok, 1), runtime.enqueue(ok, 2, { delay: 60_000 })]
    expect(() => runtime.enqueue(ok, 3)).toThrow(QueueFullError)
    expect(() => runtime.enqueue(ok, 3)).toThrow(
      expect.objectContaining({ code: 'ERR_QUEUE_FULL', status: 503, retryAfter: expect.any(Number) }),
    )
    expect(runtime.stats().pending).toBe(2)
    expect((await runtime.jobs({ state: ['available', 'scheduled'] })).jobs).toHaveLength(2)
    jobs[1]?.cancel()
    expect(runtime.enqueue(ok, 3).state).toBe('available')
  })

  test('makes tryEnqueue return null, and every other refusal still throws', async () => {
    const { runtime } = await withGate({ maxPending: 1 })
    runtime.pause()
    expect(runtime.tryEnqueue(ok, 1)).not.toBeNull()
    expect(runtime.tryEnqueue(ok, 2)).toBeNull()
    expect(() => runtime.tryEnqueue('nobody', 2)).toThrow(
      expect.objectContaining({ code: 'ERR_UNKNOWN_TASK' }),
    )
  })

  test('tells each refusal as runtime:overloaded', async () => {
    const { runtime } = await withGate({ maxPending: 1 })
    const told = collectEvents(runtime, 'runtime:overloaded')
    runtime.pause()
    runtime.enqueue(ok, 1)
    runtime.tryEnqueue(ok, 2)
    expect(told).toEqual([
      expect.objectContaining({ pending: 1, maxPending: 1, retryAfter: expect.any(Number) }),
    ])
  })

  test('does not refuse a job that equals one which is there, since nothing is added', async () => {
    const { runtime } = await withGate({ maxPending: 2 })
    runtime.pause()
    const first = runtime.enqueue(ok, 1, { unique: true })
    const second = runtime.enqueue(ok, 2)
    const buffer = new ArrayBuffer(8)
    expect(runtime.enqueue(ok, 1, { unique: true }).id).toBe(first.id)
    expect(() => runtime.enqueue(ok, { buffer }, { unique: 'other', transfer: [buffer] })).toThrow(
      QueueFullError,
    )
    expect(buffer.byteLength).toBe(8)
    second.cancel()
    const entries = [1, 3, 3, 1].map((payload) => ({ task: ok, payload, options: { unique: true } }))
    const many = runtime.enqueueMany(entries).map(({ id }) => id)
    expect([many[0], many[3], many[2]]).toEqual([first.id, first.id, many[1]])
    expect(runtime.stats().pending).toBe(2)
    expect(() => runtime.enqueueMany([...entries, { task: ok, payload: 4, options: {} }])).toThrow(
      QueueFullError,
    )
  })

  test('accepts all of enqueueMany or none of it', async () => {
    const { runtime } = await withGate({ maxPending: 3 })
    runtime.pause()
    const entry = (payload: number) => ({ task: ok, payload })
    expect(() => runtime.enqueueMany([1, 2, 3, 4].map(entry))).toThrow(QueueFullError)
    expect(runtime.stats().pending).toBe(0)
    expect(runtime.enqueueMany([1, 2, 3].map(entry))).toHaveLength(3)
  })

  test('leaves the buffers of a refused job with the caller', async () => {
    const { runtime } = await withGate({ maxPending: 1 })
    runtime.pause()
    runtime.enqueue(ok, 1)
    const bytes = new ArrayBuffer(8)
    expect(() => runtime.enqueue(ok, { bytes }, { transfer: [bytes] })).toThrow(QueueFullError)
    expect(bytes.byteLength).toBe(8)
  })

  test('estimates retryAfter from the rate at which jobs end', async () => {
    const { runtime } = await withGate({ maxPending: 200 })
    const full = (): number => {
      runtime.pause()
      while (runtime.tryEnqueue(ok, 0) !== null);
      try {
        runtime.enqueue(ok, 0)
        return 0
      } catch (error) {
        return (error as QueueFullError).retryAfter
      } finally {
        runtime.resume()
      }
    }
    const blind = full()
    await Promise.all(Array.from({ length: 1 }, () => runtime.stats()))
    const drained = collectEvents(runtime, 'job:completed')
    while (drained.length < 200) await new Promise((resolve) => setImmediate(resolve))
    // A tenth of the queue takes less than a second at this rate.
    expect(full()).toBe(1)
    expect(blind).toBeGreaterThan(1)
  })
})

describe('the concurrency of a task', () => {
  test('is never exceeded over all threads, and other tasks pass', async () => {
    const limited = isoTaskAs('limited', 'gate', 'waitOutside', { concurrency: 2 })
    const runtime = startThreads([limited, ok], { pool: { threads: 2, concurrency: 8 } })
    await runtime.ready()
    let running = 0
    let most = 0
    runtime.on('job:started', ({ job }) => {
      if (job.name !== 'limited') return
      most = Math.max(most, ++running)
    })
    runtime.on('job:completed', ({ job }) => {
      if (job.name === 'limited') running--
    })
    const jobs = Array.from({ length: 10 }, () => runtime.enqueue(limited))
    const other = runtime.enqueue(ok, 'passes')
    expect(await other.result()).toBe('passes')
    await Promise.all(jobs.map((job) => job.result()))
    expect(most).toBe(2)
  })

  test('counts in a bundle what was sent, not only what runs', async () => {
    const limited = isoTaskAs('limited', 'gate', 'pass', { concurrency: 1 })
    const { runtime } = await withGate({ bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 8 } }, [
      limited,
    ])
    const jobs = addTogether(runtime, () => [1, 2, 3].map(() => runtime.enqueue(limited, 0)))
    await new Promise((resolve) => setImmediate(resolve))
    const { running = 0 } = await runtime.counts()
    expect(running).toBeLessThanOrEqual(1)
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([0, 1, 2])
  })

  test('lets no bundle of lower priorities come between jobs that wait for each other', async () => {
    const limited = isoTaskAs('limited', 'misbehave', 'ok', { concurrency: 1, priority: 1000 })
    const runtime = startThreads([limited, ok], {
      bundles: { milliseconds: Number.POSITIVE_INFINITY, max: 64 },
    })
    await runtime.ready()
    const order: string[] = []
    runtime.on('job:completed', ({ job }) => order.push(job.name))
    const jobs = addTogether(runtime, () => [
      ...Array.from({ length: 200 }, (_, number) => runtime.enqueue(ok, number)),
      ...Array.from({ length: 5 }, (_, number) => runtime.enqueue(limited, number)),
    ])
    await Promise.all(jobs.map((job) => job.result()))
    expect(order.lastIndexOf('limited')).toBe(4)
  })

  test('keeps priorities among the jobs that wait for it', async () => {
    const limited = isoTaskAs('limited', 'gate', 'wait', { concurrency: 1 })
    const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 8 } }, [limited])
    const first = runtime.enqueue(limited, { at: 1 })
    await gate.reached(1)
    const order: string[] = []
    runtime.on('job:completed', ({ job }) => order.push(job.id))
    gate.open(2)
    const low = runtime.enqueue(limited, { at: 2 })
    // Let the low one be looked at, and found to have to wait, before the high one is there.
    await runtime.enqueue(ok, 0).result()
    const high = runtime.enqueue(limited, { at: 2 }, { priority: 10 })
    gate.open(1)
    await Promise.all([first, low, high].map((job) => job.result()))
    expect(order.slice(1)).toEqual([first.id, high.id, low.id])
  })
})

describe('a key', () => {
  test('runs its jobs one at a time, in the order added, while others pass', async () => {
    const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 8 } })
    const [first, second, third] = [1, 2, 3].map((at) =>
      runtime.enqueue('gate.wait', { at }, { key: 'account:7' }),
    )
    const other = runtime.enqueue('gate.wait', { at: 4 }, { key: 'account:8' })
    await gate.reached(1)
    await gate.reached(4)
    expect([first, second, third, other].map((job) => job?.state)).toEqual([
      'running',
      'waiting',
      'waiting',
      'running',
    ])
    for (const at of [3, 2, 1]) gate.open(at)
    const tickets = await Promise.all([first, second, third].map((job) => job?.result()))
    expect(tickets).toEqual([0, 1, 2])
    gate.open(4)
    await other.result()
  })

  test('made from the payload keeps each payload its own line', async () => {
    const keyed = isoTaskAs('keyed', 'gate', 'wait', {
      key: (payload) => String((payload as { at: number }).at),
    })
    const { runtime, gate } = await withGate({ pool: { threads: 1, concurrency: 8 } }, [keyed])
    const jobs = [1, 1, 2].map((at) => runtime.enqueue(keyed, { at }))
    await gate.reached(1)
    await gate.reached(2)
    expect(jobs.map((job) => job.state)).toEqual(['running', 'waiting', 'running'])
    gate.open(1)
    gate.open(2)
    await Promise.all(jobs.map((job) => job.result()))
  })

  test('is held through a retry: no later job of it overtakes', async () => {
    const { runtime } = await withGate({ retry: { maxAttempts: 2, backoff: { delay: 5, jitter: false } } }, [
      isoTask('crash', 'crashThenFail'),
    ])
    const ended: string[] = []
    for (const name of ['job:completed', 'job:dead'] as const)
      runtime.on(name, ({ job }) => void ended.push(job.id))
    const failing = runtime.enqueue('crash.crashThenFail', { crashes: 0 }, { key: 'k' })
    const next = runtime.enqueue(ok, 1, { key: 'k' })
    await next.result()
    expect(ended).toEqual([failing.id, next.id])
    expect(failing.state).toBe('dead')
  })
})

describe('unique', () => {
  test('true gives the handle of the job that is pending with an equal payload', async () => {
    const { runtime } = await withGate()
    runtime.pause()
    const first = runtime.enqueue(ok, { user: 1 }, { unique: true })
    expect(runtime.enqueue(ok, { user: 1 }, { unique: true }).id).toBe(first.id)
    expect(runtime.enqueue(ok, { user: 2 }, { unique: true }).id).not.toBe(first.id)
    expect(runtime.stats().pending).toBe(2)
    runtime.resume()
    await first.result()
    expect(runtime.enqueue(ok, { user: 1 }, { unique: true }).id).not.toBe(first.id)
  })

  test('a string says what is equal, within the task', async () => {
    const { runtime } = await withGate()
    runtime.pause()
    const first = runtime.enqueue(ok, 1, { unique: 'daily' })
    expect(runtime.enqueue(ok, 2, { unique: 'daily' }).id).toBe(first.id)
    expect(runtime.enqueue('gate.pass', 2, { unique: 'daily' }).id).not.toBe(first.id)
  })

  test('for a time holds the place also when the job is over', async () => {
    const clock = new LeapingClock()
    const { runtime } = await withGate({}, [], clock)
    const first = runtime.enqueue(ok, 1, { unique: { key: 'digest', for: 60_000 } })
    await first.result()
    expect(runtime.enqueue(ok, 2, { unique: { key: 'digest', for: 60_000 } }).id).toBe(first.id)
    clock.leap(60_000)
    expect(runtime.enqueue(ok, 3, { unique: { key: 'digest', for: 60_000 } }).id).not.toBe(first.id)
  })

  test('of the task itself may be made from the payload', async () => {
    const unique = isoTaskAs('unique', 'misbehave', 'ok', {
      unique: (payload) => (payload as { user: string }).user,
    })
    const { runtime } = await withGate({}, [unique])
    runtime.pause()
    const first = runtime.enqueue(unique, { user: 'a', at: 1 })
    expect(runtime.enqueue(unique, { user: 'a', at: 2 }).id).toBe(first.id)
  })
})

describe('priority', () => {
  test('sends a larger number first, and equals in the order added', async () => {
    const { runtime } = await withGate()
    const priorities = [0, 5, -3, 5, 0]
    const jobs = addTogether(runtime, () =>
      priorities.map((priority) => runtime.enqueue('gate.pass', priority, { priority })),
    )
    const tickets = await Promise.all(jobs.map((job) => job.result()))
    expect(tickets).toEqual([2, 0, 4, 1, 3])
  })

  test('is raised by waiting: no job starves', async () => {
    const clock = new LeapingClock()
    const { runtime } = await withGate({ priorityAgeing: 1000 }, [], clock)
    const jobs = addTogether(runtime, () => {
      const low = runtime.enqueue('gate.pass', 0)
      clock.leap(5000)
      return [
        low,
        runtime.enqueue('gate.pass', 0, { priority: 4 }),
        runtime.enqueue('gate.pass', 0, { priority: 6 }),
      ]
    })
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([1, 2, 0])
  })

  test('is not raised where ageing is off', async () => {
    const clock = new LeapingClock()
    const { runtime } = await withGate({ priorityAgeing: 0 }, [], clock)
    const jobs = addTogether(runtime, () => {
      const low = runtime.enqueue('gate.pass', 0)
      clock.leap(3_600_000)
      return [low, runtime.enqueue('gate.pass', 0, { priority: 1 })]
    })
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([1, 0])
  })
})

describe('pause', () => {
  test('lets running jobs go on and starts no others, until resume', async () => {
    const { runtime, gate } = await withGate()
    const running = runtime.enqueue('gate.wait', { at: 1 })
    await gate.reached(1)
    runtime.pause()
    const waiting = runtime.enqueue(ok, 'waited')
    gate.open(1)
    await running.result()
    expect(waiting.state).toBe('available')
    runtime.resume()
    expect(await waiting.result()).toBe('waited')
  })

  test('of one pool leaves the others at work', async () => {
    const elsewhere = isoTaskAs('elsewhere', 'misbehave', 'ok', { pool: 'other' })
    const { runtime } = await withGate({ pools: { other: { threads: 1 } } }, [elsewhere])
    runtime.pause('default')
    const [paused, running] = [runtime.enqueue(ok, 1), runtime.enqueue(elsewhere, 2)]
    expect(await running?.result()).toBe(2)
    expect(paused?.state).toBe('available')
    runtime.resume('default')
    expect(await paused?.result()).toBe(1)
  })

  test('of a pool that is not there is refused', async () => {
    const { runtime } = await withGate()
    expect(() => runtime.pause('defualt')).toThrow(OptionsInvalidError)
    expect(() => runtime.resume('defualt')).toThrow('no pool is named "defualt". Known: default, io.')
  })
})
