/** Modules that take over the events by which Node reports errors. */
import { expect, test } from 'vitest'
import { startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const both = (source: string): string =>
  `for (const event of ['unhandledRejection', 'uncaughtException']) { ${source} }`
const rethrow = '(error) => { throw error }'
const takeovers: Record<string, string> = {
  'adds listeners that throw': both(`process.on(event, ${rethrow})`),
  'puts listeners that throw before all others': both(`process.prependListener(event, ${rethrow})`),
  'adds listeners that throw once': both(`process.prependOnceListener(event, ${rethrow})`),
  'adds listeners that end the process': both('process.on(event, () => process.exit(1))'),
  'adds listeners that end the process later': both(
    'process.on(event, async () => { await null; process.exit(1) })',
  ),
  'removes all listeners': both('process.removeAllListeners(event)'),
  'removes all listeners whenever one is added': both(
    `process.on('newListener', (name) => { if (name === event) setImmediate(() => process.removeAllListeners(name)) })`,
  ),
  'swallows everything': both('process.on(event, () => {})'),
  'replaces process.emit': 'process.emit = () => false',
  'wraps process.emit, as tools do': `
    const { emit } = process
    process.emit = function (...args) { return emit.apply(this, args) }
    const again = process.emit
    process.emit = function (...args) { return again.apply(this, args) }`,
  'wraps process.emit and throws': `
    const { emit } = process
    process.emit = function (name, ...args) { if (/^un/.test(name)) throw args[0]; return emit.call(this, name, ...args) }`,
  'captures exceptions': `process.setUncaughtExceptionCaptureCallback(${rethrow})`,
  'watches exceptions and throws': `process.on('uncaughtExceptionMonitor', ${rethrow})`,
  'replaces process.on and process.listeners': `process.on = process.listeners = process.listenerCount = () => { throw new Error('no') }`,
}

const escapes = [
  'void Promise.reject(new Error("mine"))',
  'setTimeout(() => emitter.emit("error", new Error("mine")), 1)',
]

test.each(Object.keys(takeovers))(
  'in a thread whose module %s, an error that escapes fails its own job alone, once',
  async (takeover) => {
    const handlers = new WrittenHandlers()
    const source = `
      import { EventEmitter } from 'node:events'
      ${takeovers[takeover]}
      const emitter = new EventEmitter()
      let open; const opened = new Promise((resolve) => { open = resolve })
      export default async (payload, ctx) => {
        if (payload === 'wait') { await opened; return 'waited' }
        if (payload === 'ok') return 'ok'
        open()
        ;[${escapes.map((deed) => `() => ${deed}`).join(', ')}][payload]()
        return new Promise(() => {})
      }`
    const task = handlers.task('takes', source)
    const runtime = startThreads([task], { pool: { threads: 1, concurrency: 2 } })
    runtime.on('thread:error', () => {})
    for (const [index, deed] of escapes.entries()) {
      const neighbour = runtime.enqueue(task, 'wait')
      expect(await runtime.enqueue(task, index).settled, deed).toMatchObject({
        state: 'dead',
        error: { message: 'mine' },
        attempts: 1,
      })
      expect(await neighbour.settled, deed).toMatchObject({ state: 'completed', attempts: 1 })
    }
    expect(await runtime.enqueue(task, 'ok').result()).toBe('ok')
  },
)

test('process.emit still reaches the listeners of a module, and those that others have put before it', async () => {
  const handlers = new WrittenHandlers()
  const source = `
    const seen = []
    const { emit } = process
    process.emit = function (name, ...args) { if (name === 'mine') seen.push('outer ' + args[0]); return emit.call(this, name, ...args) }
    process.on('mine', (value) => seen.push('listener ' + value))
    export default () => [process.emit('mine', 1), process.emit('nobody', 1), seen]`
  const runtime = startThreads([handlers.task('emits', source)])
  expect(await runtime.enqueue('emits').result()).toEqual([true, false, ['outer 1', 'listener 1']])
})

test('a module that ends its thread past all listeners costs its own attempt', async () => {
  const handlers = new WrittenHandlers()
  const task = handlers.task(
    'ends',
    'export default (payload) => payload === "end" ? process.reallyExit(3) : payload',
    { onCrash: 'fail' },
  )
  const waits = handlers.task('waits', 'export default () => new Promise(() => {})')
  const runtime = startThreads([task, waits], { pool: { threads: 1, concurrency: 2 } })
  const neighbour = runtime.enqueue(waits)
  const interrupted = new Promise((resolve) => runtime.on('job:interrupted', resolve))
  const { error } = await runtime.enqueue(task, 'end').settled
  expect(error).toMatchObject({ code: 'ERR_THREAD_EXITED', exitCode: 3 })
  expect(await interrupted).toMatchObject({ job: { id: neighbour.id } })
  neighbour.cancel()
  await neighbour.settled
  expect(await runtime.enqueue(task, 'ok').result()).toBe('ok')
})
