import { describe, expect, test } from 'vitest'
import { PiscinaSource } from '../../src/pools/piscina.ts'
import type { PoolParts } from '../../src/pools/pool.ts'
import { ThreadPool } from '../../src/pools/thread-pool.ts'
import { defineTask } from '../../src/rules/task.ts'
import { HandlerNotFoundError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { failureOf, isoTask, startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const root = new URL('../../', import.meta.url).pathname
const ok = isoTask('misbehave', 'ok')
const throwing = isoTask('throws-at-import', 'default')
const throwingAgain = isoTask('throws-at-import', 'other')
const exiting = isoTask('exits-at-import', 'default')
const late = isoTask('throws-after-import', 'default')
const missingExport = isoTask('state', 'lok')
const notFunction = isoTask('throws-after-import', 'notFunction')
const missingFile = defineTask({ name: 'missing', handler: new URL('./nowhere.js', import.meta.url) })

async function notReady(runtime: { ready(): Promise<void> }): Promise<HandlerNotFoundError> {
  const error = await runtime.ready().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(HandlerNotFoundError)
  return error as HandlerNotFoundError
}

describe('a module that throws while it is imported', () => {
  test('is evaluated once in a thread, however many tasks ask for it', async () => {
    const evaluations: unknown[] = []
    const channel = new BroadcastChannel('iso-throws-at-import')
    channel.onmessage = ({ data }) => evaluations.push(data)
    const runtime = startThreads([ok, throwing, throwingAgain])
    await notReady(runtime)
    await runtime.enqueue(ok).result()
    channel.close()
    expect(evaluations).toHaveLength(1)
  })

  test('fails the jobs of its own tasks with a typed error, and those of others succeed', async () => {
    const runtime = startThreads([ok, throwing])
    const error = await failureOf(runtime.enqueue(throwing))
    expect(error).toMatchObject({
      code: 'ERR_HANDLER_NOT_FOUND',
      message: expect.stringContaining('broken at the top'),
      cause: { message: 'broken at the top', code: 'E_TOP' },
    })
    expect(await runtime.enqueue(ok, 'fine').result()).toBe('fine')
  })

  test('without warm-up is evaluated at its first job and fails it with the same error', async () => {
    const runtime = startThreads([ok, throwing], { pool: { threads: 1, warmUp: false } })
    await runtime.ready()
    expect(await failureOf(runtime.enqueue(throwing))).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
    expect(await runtime.enqueue(ok, 'fine').result()).toBe('fine')
  })
})

test('a module that calls process.exit while it is imported does not take the thread along', async () => {
  const runtime = startThreads([ok, exiting])
  expect((await notReady(runtime)).message).toContain('process.exit(4)')
  expect(await runtime.enqueue(ok, 'fine').result()).toBe('fine')
})

test("an error that a module's own timer throws is charged to no job that runs meanwhile", async () => {
  const runtime = startThreads([late])
  const stray = nextEvent(runtime, 'thread:error')
  const job = runtime.enqueue(late, { wait: true })
  expect(await stray).toMatchObject({ jobId: '', error: { message: 'from a timer of the module' } })
  expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
})

describe('ready()', () => {
  test('names every handler at fault in one error, with the exports that do exist', async () => {
    const runtime = startThreads([ok, throwing, missingExport, missingFile, notFunction])
    const error = await notReady(runtime)
    expect(error.code).toBe('ERR_HANDLER_NOT_FOUND')
    expect(error.problems.map(({ task }) => task)).toEqual([
      'throws-at-import.default',
      'state.lok',
      'missing',
      'throws-after-import.notFunction',
    ])
    expect(error.message).toContain('4 handlers cannot be run')
    expect(error.problems[1]).toMatchObject({
      export: 'lok',
      exports: ['change', 'forbidden', 'holdBuffer', 'look', 'processFacts'],
      message: expect.stringContaining('"lok"'),
    })
    expect(error.problems[2]?.message).toContain('does not exist (looked for .js and .ts)')
    expect(error.problems[3]?.message).toContain('is not a function')
  })

  test('names a missing file also without warm-up', async () => {
    const runtime = startThreads([ok, missingFile], { pool: { threads: 1, warmUp: false } })
    expect((await notReady(runtime)).problems.map(({ task }) => task)).toEqual(['missing'])
  })

  test('resolves when every handler is there', async () => {
    await startThreads([ok]).ready()
  })
})

describe('a handler that could not be imported', () => {
  test.each([
    ['threw while it was imported', 'late.mjs', `throw new Error('not yet')`],
    ['lacked its export', 'late.mjs', 'export const other = 1'],
    ['had no right syntax', 'late.mjs', 'export default ('],
    ['had a dependency that threw', 'dependency.mjs', `throw new Error('not yet')`],
  ])(
    'and %s is tried again in another thread, so that a retry succeeds once it is mended',
    async (_, file, before) => {
      const handlers = new WrittenHandlers()
      handlers.write('late.mjs', `import './dependency.mjs'; export default () => 'now'`)
      handlers.write('dependency.mjs', '')
      handlers.write(file, before)
      const tardy = handlers.taskIn('late', 'late.mjs')
      const runtime = startThreads([tardy], {
        retry: { maxAttempts: 1000, backoff: { type: 'fixed', delay: 10 } },
      })
      await notReady(runtime)
      const retrying = nextEvent(runtime, 'job:retrying')
      const job = runtime.enqueue(tardy)
      expect(await retrying).toMatchObject({ error: { code: 'ERR_HANDLER_NOT_FOUND' } })
      handlers.write('late.mjs', `import './dependency.mjs'; export default () => 'now'`)
      handlers.write('dependency.mjs', '')
      expect(await job.result()).toBe('now')
    },
  )

  test('since its file was not there is found as soon as it is, in the same thread', async () => {
    const handlers = new WrittenHandlers()
    const tardy = handlers.taskIn('late', 'late.mjs')
    const runtime = startThreads([tardy])
    await notReady(runtime)
    expect(await failureOf(runtime.enqueue(tardy))).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
    handlers.write('late.mjs', `export default () => 'now'`)
    expect(await runtime.enqueue(tardy).result()).toBe('now')
  })

  test('keeps no job of another task waiting', async () => {
    const runtime = startThreads([ok, throwing])
    for (let round = 0; round < 5; round++) {
      await failureOf(runtime.enqueue(throwing))
      expect(await runtime.enqueue(ok, round).result()).toBe(round)
    }
  })
})

describe('a module whose error escapes right after it was imported', () => {
  test.each([
    ['in a rejection', `void Promise.reject(new Error('late'))`],
    ['in a tick', `process.nextTick(() => { throw new Error('late') })`],
    ['in a timer', `setTimeout(() => { throw new Error('late') }, 1)`],
    [
      'while its import still waits',
      `setTimeout(() => { throw new Error('late') }); await new Promise(() => {})`,
    ],
  ])('%s fails ready() and the jobs of its own tasks', async (_, source) => {
    const handlers = new WrittenHandlers()
    const broken = handlers.task('broken', `${source}; export default () => {}`)
    const runtime = startThreads([ok, broken])
    const error = await notReady(runtime)
    expect(error.problems).toHaveLength(1)
    expect(error.message).toContain('late')
    expect(error.cause).toMatchObject({ message: 'late' })
    expect(await failureOf(runtime.enqueue(broken))).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
    expect(await runtime.enqueue(ok, 'fine').result()).toBe('fine')
  })
})

describe('a module that never finishes loading', () => {
  /** Threads that give up an import after a second. */
  const impatient = {
    makePool: (parts: PoolParts) =>
      new ThreadPool({ ...parts, importTimeout: 1000 }, new PiscinaSource(parts.options)),
  }

  test.each([
    ['waits for ever', 'await new Promise(() => {})', 'does a top-level await never end'],
    ['loops for ever', 'for (;;);', 'does it loop for ever'],
    [
      'sleeps for ever',
      'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)',
      'does it loop for ever',
    ],
  ])(
    'since it %s is named by ready(), and fails the jobs of its own tasks alone',
    async (_, source, message) => {
      const handlers = new WrittenHandlers()
      const never = handlers.task('never', `${source}; export default () => {}`)
      const runtime = startThreads([never, ok], {}, impatient)
      const early = runtime.enqueue(ok, 'early')
      const error = await notReady(runtime)
      expect(error.problems.map(({ task }) => task)).toEqual(['never'])
      expect(error.message).toContain('never.mjs')
      expect(error.message).toContain(message)
      expect(await failureOf(runtime.enqueue(never))).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
      expect(await early.result()).toBe('early')
    },
  )
})

describe('what is wrong with a handler', () => {
  test.each([
    ['a class', 'export default class Handler {}', 'is a class'],
    ['a generator', 'export default async function* () {}', 'is a generator'],
    [
      'an import of a type as a value',
      `import { Handler } from '${root}src/rules/handler.ts'; export default () => {}`,
      'import type { Handler }',
    ],
  ])('is told by ready() when it is %s', async (_, source, message) => {
    const handlers = new WrittenHandlers()
    handlers.write('wrong.mts', source)
    const runtime = startThreads([handlers.taskIn('wrong', 'wrong.mts')])
    expect((await notReady(runtime)).message).toContain(message)
  })

  test('is the cause of the error of ready() when only one is at fault', async () => {
    const runtime = startThreads([ok, throwing])
    expect(await notReady(runtime)).toMatchObject({
      cause: { message: 'broken at the top', code: 'E_TOP' },
      problems: [{ cause: { code: 'E_TOP' } }],
    })
    const two = startThreads([throwing, throwingAgain])
    const error = await notReady(two)
    expect(error.cause).toBeUndefined()
    expect(error.problems.map(({ cause }) => cause)).toMatchObject([{ code: 'E_TOP' }, { code: 'E_TOP' }])
  })
})
