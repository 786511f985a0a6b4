/** What is over is kept by nobody: not by a queue, a timer, a signal or the context of the first call. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { engineOf, type Runtime } from '../../src/engine/runtime.ts'
import type { JobOptions } from '../../src/words/job.ts'
import { say } from '../fixtures/log-tasks.ts'
import { startThreads } from '../kit/threads.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** How many of these are still there, once what nobody holds has been collected. */
async function left(refs: readonly WeakRef<object>[]): Promise<number> {
  for (let round = 0; round < 20; round++) {
    // What was made or looked at in this turn is kept until its end, by every WeakRef.
    await new Promise((resolve) => setImmediate(resolve))
    gc()
    if (refs.every((ref) => ref.deref() === undefined)) return 0
  }
  return refs.filter((ref) => ref.deref() !== undefined).length
}

describe('what a call gave', () => {
  test.each<[string, JobOptions]>([
    ['waits in a paused pool', {}],
    ['is delayed by a day', { delay: 86_400_000 }],
    ['may wait for a day', { queueTimeout: 86_400_000 }],
    ['has a key', { key: 'one' }],
    ['holds a unique key for a day', { unique: { key: 'one', for: 86_400_000 } }],
  ])('is let go of when its job %s and is cancelled', async (_, options) => {
    const runtime = startThreads([say])
    runtime.pause()
    const refs = Array.from({ length: 200 }, () => {
      const given = { text: 'x'.repeat(1000) }
      runtime.enqueue(say, [], { ...options, when: () => given.text !== '' }).cancel()
      return new WeakRef(given)
    })
    expect(runtime.stats().pending).toBe(0)
    expect(await left(refs)).toBe(0)
  })

  test('is let go of when its job has completed', async () => {
    const runtime = startThreads([say])
    const refs: WeakRef<object>[] = []
    const ends: Promise<unknown>[] = []
    for (let n = 0; n < 50; n++) {
      const given = { n }
      refs.push(new WeakRef(given))
      ends.push(runtime.enqueue(say, [], { when: () => given.n >= 0, signal: signalOf(given) }).settled)
    }
    await Promise.all(ends)
    expect(await left(refs)).toBe(0)
  })
})

test('a dead job, which is kept, keeps nothing of the others of its batch', async () => {
  const runtime = startThreads([say])
  const refs: WeakRef<object>[] = []
  // Apart, so that the batch is not held by this test.
  const respond = async (): Promise<string> => {
    const batch = runtime.openBatch({ order: 'sequential', onFailure: 'continue' })
    for (let n = 0; n < 5; n++) {
      const given = { n }
      refs.push(new WeakRef(given))
      batch.add(say, [], { unique: String(n), signal: signalOf(given) })
    }
    const dead = batch.add(say, [], { queueTimeout: 0 })
    // The batch keeps its order itself from now on.
    const others = refs.map((_, n) => runtime.enqueue(say, [], { unique: String(n) }).settled)
    expect((await dead.settled).state).toBe('dead')
    batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
    await Promise.all(others)
    return dead.id
  }
  const id = await respond()
  expect(await left(refs)).toBe(0)
  expect(await runtime.job(id)).toMatchObject({ state: 'dead' })
})

test('many jobs of one signal cost it one listener, and none once they are over', async () => {
  const runtime = startThreads([say])
  runtime.pause()
  const { signal } = new AbortController()
  const jobs = Array.from({ length: 300 }, () => runtime.enqueue(say, [], { signal }))
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  for (const job of jobs) job.cancel()
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('the context of the first job is let go of while others keep the process alive', async () => {
  const stores = new AsyncLocalStorage<object>()
  const runtime = startThreads([say])
  // In frames of their own, so that none stands on the stack; and several, since each takes the place of the one before.
  const addWithin = (store: object): WeakRef<object> => {
    stores.run(store, () => runtime.enqueue(say, [], { delay: 86_400_000 }).cancel())
    return new WeakRef(store)
  }
  const refs = Array.from({ length: 5 }, () => addWithin({}))
  const last = runtime.enqueue(say, [], { delay: 86_400_000 })
  expect(await left(refs)).toBe(0)
  last.cancel()
})

test('a key that is held for a time keeps neither the record of its job nor the result', async () => {
  const runtime = startThreads([say], { retention: { count: 0 } })
  const engine = (runtime as Runtime)[engineOf]
  const uniqueFor = (key: number): JobOptions => ({ unique: { key: String(key), for: 86_400_000 } })
  const run = async (key: number): Promise<[id: string, record: WeakRef<object>]> => {
    const job = runtime.enqueue(say, [], uniqueFor(key))
    const record = new WeakRef<object>((await engine.jobs.find(job.id)) as object)
    await job.settled
    return [job.id, record]
  }
  const ends: [id: string, record: WeakRef<object>][] = []
  for (let key = 0; key < 20; key++) ends.push(await run(key))
  expect(await left(ends.map(([, record]) => record))).toBe(0)
  expect(runtime.enqueue(say, [], uniqueFor(0)).id).toBe(ends[0]?.[0])
})

function signalOf(given: object): AbortSignal {
  const controller = new AbortController()
  Object.assign(controller.signal, { given })
  return controller.signal
}
