import { AsyncLocalStorage } from 'node:async_hooks'
import { expect, test, vi } from 'vitest'
import { sharedState } from '../fixtures/handlers/iso-module-state.ts'
import { isoTask, startThreads } from '../kit/threads.ts'

const change = isoTask('state', 'change')
const look = isoTask('state', 'look')

test("a handler that changes globals and prototypes changes its own thread's alone", async () => {
  const { stringify } = JSON
  const runtime = startThreads([change, look])
  await runtime.enqueue(change).result()
  expect(Reflect.get(globalThis, 'leaked')).toBeUndefined()
  expect(Reflect.get({}, 'polluted')).toBeUndefined()
  expect([1].map((one) => one + 1)).toEqual([2])
  expect(JSON.stringify).toBe(stringify)
  expect(Object.isFrozen(Promise)).toBe(false)
})

test("a handler that changes a module's state changes its own thread's copy alone", async () => {
  const runtime = startThreads([change, look])
  await runtime.enqueue(change).result()
  expect(await runtime.enqueue(look).result()).toMatchObject({ count: 1001 })
  expect(sharedState.count).toBe(0)
})

test("a handler that changes the environment changes its own thread's copy alone", async () => {
  vi.stubEnv('ISO_SEEN', 'as the server has it')
  const runtime = startThreads([change, look])
  await runtime.enqueue(change).result()
  expect(process.env['ISO_LEAK']).toBeUndefined()
  expect(process.env['PATH']).toBeDefined()
  expect(await runtime.enqueue(look).result()).toMatchObject({ env: 'as the server has it' })
})

test('a handler that sets the exit code, the title or a signal listener leaves those of the process alone', async () => {
  const { title, exitCode } = process
  const listeners = process.listenerCount('SIGTERM')
  const runtime = startThreads([change])
  await runtime.enqueue(change).result()
  expect(process.exitCode).toBe(exitCode)
  expect(process.title).toBe(title)
  expect(process.listenerCount('SIGTERM')).toBe(listeners)
})

test("a handler's AsyncLocalStorage is its own: neither the caller's store gets in nor its own gets out", async () => {
  const storage = new AsyncLocalStorage<string>()
  const runtime = startThreads([change, look])
  await storage.run('of the request', async () => {
    await runtime.enqueue(change).result()
    expect(storage.getStore()).toBe('of the request')
    expect(await runtime.enqueue(look).result()).not.toMatchObject({ store: 'of the request' })
    expect(storage.getStore()).toBe('of the request')
  })
  expect(storage.getStore()).toBeUndefined()
})

test('a listener hears of a job outside of the request that happened to wake the pool', async () => {
  const storage = new AsyncLocalStorage<string>()
  // Each job needs a fresh thread, so that the threads themselves are started on behalf of a request.
  const runtime = startThreads([look], { pool: { min: 0, max: 1, isolation: 'job' } })
  await runtime.ready()
  const stores: unknown[] = []
  for (const name of ['job:completed', 'thread:started', 'thread:exited'] as const) {
    runtime.on(name, () => stores.push(storage.getStore()))
  }
  for (const request of ['first', 'second', 'third']) {
    const job = storage.run(request, () => runtime.enqueue(look, undefined, { delay: 1 }))
    await job.result()
  }
  expect(new Set(stores)).toEqual(new Set([undefined]))
})

test('a runtime that is made inside a request tells of its jobs outside of it', async () => {
  const storage = new AsyncLocalStorage<string>()
  const runtime = storage.run('of the first request', () => startThreads([look]))
  const stores: unknown[] = []
  for (const name of ['job:completed', 'thread:started', 'thread:exited'] as const) {
    runtime.on(name, () => stores.push(storage.getStore()))
  }
  await runtime.enqueue(look).result()
  await runtime.stop()
  expect(stores).toEqual([undefined, undefined, undefined])
})

test('a job that runs out of its queue time is told outside of the request that added it', async () => {
  const storage = new AsyncLocalStorage<string>()
  const runtime = startThreads([look])
  runtime.pause()
  const told = Promise.withResolvers<unknown>()
  runtime.on('job:dead', () => told.resolve(storage.getStore()))
  storage.run('of the request', () => runtime.enqueue(look, undefined, { queueTimeout: 1 }))
  expect(await told.promise).toBeUndefined()
})

test("jobs of one thread share that thread's state, unless each has a thread of its own", async () => {
  const shared = startThreads([look])
  await shared.enqueue(look).result()
  expect(await shared.enqueue(look).result()).toMatchObject({ count: 2 })
  const apart = startThreads([look], { pool: { threads: 1, isolation: 'job' } })
  await apart.enqueue(look).result()
  expect(await apart.enqueue(look).result()).toMatchObject({ count: 1 })
})

test('a thread has the environment that its pool was given', async () => {
  const runtime = startThreads([look], { pool: { threads: 1, env: { ISO_SEEN: 'given' } } })
  expect(await runtime.enqueue(look).result()).toMatchObject({ env: 'given' })
})
