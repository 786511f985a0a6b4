import { describe, expect, test } from 'vitest'
import { defineTask } from '../../src/rules/task.ts'
import { HandlerNotFoundError } from '../../src/words/errors.ts'
import { nextEvent } from '../kit/jobs.ts'
import { failureOf, isoTask, startThreads } from '../kit/threads.ts'

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
  test('is evaluated once in a thread, however many tasks and jobs ask for it', async () => {
    const evaluations: unknown[] = []
    const channel = new BroadcastChannel('iso-throws-at-import')
    channel.onmessage = ({ data }) => evaluations.push(data)
    const runtime = startThreads([ok, throwing, throwingAgain])
    await notReady(runtime)
    await failureOf(runtime.enqueue(throwing))
    await failureOf(runtime.enqueue(throwingAgain))
    await failureOf(runtime.enqueue(throwing))
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
