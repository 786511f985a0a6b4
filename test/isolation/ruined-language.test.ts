/** Modules that change what the language brings, as they are imported: for all code of their thread. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { AftertaskError, HandlerNotFoundError } from '../../src/words/errors.ts'
import { startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const PASS_ON = 'export default (payload) => payload'

const ruins: Readonly<Record<string, string>> = {
  'makes Array.prototype.push throw': `Array.prototype.push = () => { throw new Error('push') }`,
  'makes arrays no longer iterable': `Array.prototype[Symbol.iterator] = () => { throw new Error('iterator') }`,
  'makes methods of arrays throw': `for (const m of ['map', 'find', 'filter', 'entries']) Array.prototype[m] = () => { throw new Error(m) }`,
  'makes promises that are never heard of': 'Promise.prototype.then = () => {}',
  'makes Function.prototype.call throw': `Function.prototype.call = () => { throw new Error('call') }`,
  'makes String.prototype.slice throw': `String.prototype.slice = () => { throw new Error('slice') }`,
  'makes Reflect throw': `Reflect.ownKeys = Reflect.get = Reflect.apply = () => { throw new Error('reflect') }`,
  'posts nothing': `const { MessagePort } = await import('node:worker_threads'); MessagePort.prototype.postMessage = () => {}`,
  'gives every object a then': 'Object.prototype.then = (resolve) => resolve(1)',
}

describe('a module that', () => {
  test.each(Object.entries(ruins))('%s fails the jobs of its own task alone', async (_what, ruin) => {
    const written = new WrittenHandlers()
    const innocent = written.task('innocent', PASS_ON)
    const ruinous = written.task('ruinous', `${ruin}\n${PASS_ON}`)
    for (const tasks of [
      [innocent, ruinous],
      [ruinous, innocent],
    ]) {
      const runtime = startThreads(tasks)
      const error = await runtime.ready().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(HandlerNotFoundError)
      expect((error as HandlerNotFoundError).problems.map(({ task }) => task)).toEqual(['ruinous'])
      expect((error as Error).message).toContain('ruinous.mjs')
      expect(await runtime.enqueue(innocent, 'unharmed').result()).toBe('unharmed')
      expect((await runtime.enqueue(ruinous).settled).error).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
      await runtime.stop()
    }
  })

  test('ruins the language at its first job fails that job with a typed error, and the thread is replaced', async () => {
    const written = new WrittenHandlers()
    const innocent = written.task('innocent', PASS_ON)
    const ruinous = written.task('ruinous', `Promise.prototype.then = () => {}\n${PASS_ON}`)
    const runtime = startThreads([innocent, ruinous], { pool: { threads: 1, warmUp: false } })
    expect((await runtime.enqueue(ruinous).settled).error).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
    expect(await runtime.enqueue(innocent, 'unharmed').result()).toBe('unharmed')
  })

  test.each([
    ['replaces the clock', 'performance.now = () => 0; Date.now = () => 0'],
    ['replaces timers', 'globalThis.setTimeout = globalThis.setImmediate = () => ({ unref() {} })'],
    ['breaks WeakMap', `WeakMap.prototype.get = WeakSet.prototype.has = () => { throw new Error('weak') }`],
    ['breaks JSON', `JSON.stringify = () => 'broken'; JSON.parse = () => { throw new Error('parse') }`],
    ['replaces Promise', 'globalThis.Promise = class {}'],
    [
      'makes Map and Set no longer iterable',
      `for (const C of [Map, Set]) C.prototype[Symbol.iterator] = () => { throw new Error('iterator') }`,
    ],
  ])('%s runs all the same, and its endless loop is ended by its timeout', async (_what, deed) => {
    const written = new WrittenHandlers()
    const task = written.task(
      'deed',
      `${deed}\nexport default (mode) => { if (mode !== 'loop') return mode; for (;;); }`,
    )
    const runtime = startThreads([task])
    await runtime.ready()
    expect(await runtime.enqueue(task, 'fine').result()).toBe('fine')
    // Later than the thread's own zero: a clock that stands at 0 would put the start of the job there.
    const { error } = await runtime.enqueue(task, 'loop', { timeout: 100 }).settled
    expect(error).toMatchObject({ code: 'ERR_TASK_TIMEOUT' })
  })
})

test('an error that nobody takes ends its thread alone, also where a preload has made process.exit throw', async () => {
  const written = new WrittenHandlers()
  // Node asks for no more than process.exit() to end a thread, and ends the process when that throws.
  written.write(
    'preload.mjs',
    `import { isMainThread } from 'node:worker_threads'
    if (!isMainThread) {
      process.exit = () => { throw new Error('no exit') }
      const isNetSpread = () => Object.getOwnPropertyDescriptor(process, 'emit')?.get !== undefined
      const timer = setInterval(() => {
        if (!isNetSpread()) return
        clearInterval(timer)
        void Promise.reject(new Error('of the preload'))
      }, 1)
    }`,
  )
  const task = written.task('waits', `await new Promise(() => {})\n${PASS_ON}`)
  const execArgv = ['--import', pathToFileURL(join(written.folder, 'preload.mjs')).href]
  const runtime = startThreads([task], { pool: { threads: 1, execArgv } })
  expect(await runtime.ready().catch((reason: unknown) => reason)).toBeInstanceOf(AftertaskError)
})
