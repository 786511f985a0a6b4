/** What a handler does to the object that it is given as its context. */
import { describe, expect, test } from 'vitest'
import { nextEvent } from '../kit/jobs.ts'
import { LeapingClock } from '../kit/leaping-clock.ts'
import { startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const MEMBERS = [
  'attempt',
  'baggage',
  'enqueue',
  'id',
  'log',
  'name',
  'progress',
  'requestId',
  'signal',
  'traceparent',
  'transfer',
]

const deeds = {
  'writes names that a seat has': `ctx.slot = 'A3'; ctx.isOver = true; ctx.hasPosted = 1`,
  'writes over its members':
    'ctx.id = ctx.name = ctx.attempt = ctx.progress = ctx.log = ctx.enqueue = ctx.transfer = ctx.signal = 0',
  'assigns functions to it':
    'Object.assign(ctx, { end() { throw 1 }, abort() { throw 1 }, fail: 1, post: null })',
  'freezes it': 'Object.freeze(ctx); Object.freeze(ctx.signal); Object.freeze(ctx.log)',
  'deletes its members': 'for (const key of Reflect.ownKeys(ctx)) delete ctx[key]',
  'changes its prototype': 'Object.setPrototypeOf(ctx, null); Object.setPrototypeOf(ctx.signal, null)',
  'changes what it inherits from':
    'for (const of = Object.getPrototypeOf(ctx); of !== null && of !== Object.prototype;) throw of',
  'defines accessors on it':
    'Object.defineProperties(ctx, { id: { get() { throw 1 } }, slot: { get() { throw 1 } } })',
  'writes on its methods':
    'ctx.progress.call = ctx.log.info.apply = ctx.enqueue.bind = ctx.transfer.call = null',
}

test.each([
  ['declares its context', '(payload, ctx) =>'],
  ['takes it as a rest', '(...[payload, ctx]) =>'],
])('a handler that %s and writes on it in any way completes, and so do its neighbours', async (_, head) => {
  const handlers = new WrittenHandlers()
  const meddlers = Object.entries(deeds).map(([deed, source], index) =>
    handlers.task(`meddler.${index}`, `export default ${head} { ${source}; return ${JSON.stringify(deed)} }`),
  )
  const waiter = handlers.task(
    'waiter',
    `let open; const opened = new Promise((resolve) => { open = resolve })
     export default async (payload, ctx) => {
       if (payload === 'open') open()
       await opened
       ctx.progress(1); ctx.log.info(ctx.id)
       return payload
     }`,
  )
  const runtime = startThreads([...meddlers, waiter], { pool: { threads: 1, concurrency: 8 } })
  let exits = 0
  runtime.on('thread:exited', () => exits++)
  const neighbours = ['ada', 'bob'].map((name) => runtime.enqueue(waiter, name))
  for (const [index, deed] of Object.keys(deeds).entries()) {
    const settled = await runtime.enqueue(meddlers[index] as (typeof meddlers)[0]).settled
    expect(settled, deed).toMatchObject({ state: 'completed', result: deed, attempts: 1 })
  }
  const last = runtime.enqueue(waiter, 'open')
  expect(await Promise.all([...neighbours, last].map((job) => job.result()))).toEqual(['ada', 'bob', 'open'])
  expect(exits).toBe(0)
})

describe('the context', () => {
  test.each([
    ['of a handler that declares it', '(payload, ctx) =>'],
    ['of a handler that takes all arguments', '(...args) =>'],
  ])('%s is spread with every member, and each of them works', async (_, head) => {
    const handlers = new WrittenHandlers()
    const spread = handlers.task(
      'spread',
      `export default async ${head} {
         const given = { ...(typeof args === 'undefined' ? ctx : args[1]), db: 'mine' }
         given.progress('half')
         given.log.warn('a line')
         const child = await given.enqueue('child', 'of ' + given.id)
         given.signal.throwIfAborted()
         return { keys: Object.keys(given).sort(), child, id: given.id, attempt: given.attempt, name: given.name }
       }`,
    )
    const child = handlers.task('child', 'export default (payload) => payload')
    const runtime = startThreads([spread, child])
    const line = nextEvent(runtime, 'job:log')
    const job = runtime.enqueue(spread)
    const result = (await job.result()) as Record<string, unknown>
    expect(result).toMatchObject({ id: job.id, attempt: 1, name: 'spread' })
    expect(new Set(result['keys'] as string[])).toEqual(new Set([...MEMBERS, 'db']))
    expect(job.progress).toBe('half')
    expect(await line).toMatchObject({ level: 'warn', message: 'a line' })
    expect((await runtime.job(String(result['child'])))?.name).toBe('child')
  })

  test('is a plain object, also where it was not declared', async () => {
    const handlers = new WrittenHandlers()
    const source = `
      import { inspect } from 'node:util'
      export default (...args) => {
        const printed = inspect(args[1])
        const ctx = args[1]
        return [printed.includes('attempt: 1'), Object.getPrototypeOf(ctx) === Object.prototype, 'signal' in ctx, 'slot' in ctx, ctx.constructor === Object]
      }`
    const runtime = startThreads([handlers.task('plain', source)])
    expect(await runtime.enqueue('plain').result()).toEqual([true, true, true, false, true])
  })

  test('takes a signal of its wrapper, made from its own', async () => {
    const handlers = new WrittenHandlers()
    const source = `
      const own = new AbortController()
      export default (payload, ctx) => {
        ctx.signal = AbortSignal.any([ctx.signal, own.signal])
        own.abort('enough')
        return [ctx.signal.aborted, ctx.signal.reason, { ...ctx }.signal === ctx.signal]
      }`
    const runtime = startThreads([handlers.task('wrap', source)])
    expect(await runtime.enqueue('wrap').result()).toEqual([true, 'enough', true])
  })

  test('works through a proxy and through an object that inherits from it', async () => {
    const handlers = new WrittenHandlers()
    const source = `
      export default (payload, ctx) => {
        const proxied = new Proxy(ctx, { get: (target, key, receiver) => Reflect.get(target, key, receiver) })
        const derived = Object.create(ctx)
        return [proxied.signal.aborted, proxied.id === ctx.id, derived.signal === ctx.signal, derived.attempt]
      }`
    const runtime = startThreads([handlers.task('behind', source)])
    expect(await runtime.enqueue('behind').result()).toEqual([false, true, true, 1])
  })
})

test('a log line whose message has no text is still a line', async () => {
  const handlers = new WrittenHandlers()
  const task = handlers.task(
    'line',
    `export default (payload, ctx) => { ctx.log.info(Object.create(null)); return 'logged' }`,
  )
  const runtime = startThreads([task])
  const line = nextEvent(runtime, 'job:log')
  expect(await runtime.enqueue(task).result()).toBe('logged')
  expect((await line).level).toBe('info')
})

test('an error of a listener of the signal is charged to the job whose signal it is', async () => {
  const handlers = new WrittenHandlers()
  const task = handlers.task(
    'listens',
    `export default (payload, { signal, progress }) => new Promise(() => {
       signal.addEventListener('abort', () => { throw new Error('from the listener') })
       progress('listens')
     })`,
    { timeout: 3_600_000, killGrace: 3_600_000 },
  )
  const other = handlers.task(
    'other',
    `export default (payload, ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`,
  )
  const clock = new LeapingClock()
  const runtime = startThreads([task, other], { pool: { threads: 1, concurrency: 4 } }, { clock })
  const [started, listens] = [nextEvent(runtime, 'job:started'), nextEvent(runtime, 'job:progress')]
  const neighbour = runtime.enqueue(other)
  await started
  const job = runtime.enqueue(task)
  await listens
  clock.leap(3_600_000)
  const { error } = await job.settled
  expect(error).toMatchObject({ code: 'ERR_TASK_TIMEOUT', cause: { message: 'from the listener' } })
  expect(neighbour.state).toBe('running')
  neighbour.cancel()
  await neighbour.settled
})
