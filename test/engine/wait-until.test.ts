import { createServer } from 'node:http'
import { describe, expect, test } from 'vitest'
import { afterResponse } from '../../src/http/index.ts'
import { waitUntil } from '../../src/index.ts'
import { httpRuntime, nextEvent } from '../kit/jobs.ts'
import { get, listen } from '../kit/serve.ts'

const runtimeOfTest = () => httpRuntime({ pool: { threads: 1 } }, () => {})

describe('waitUntil', () => {
  test('makes a stop wait for a promise', async () => {
    const runtime = runtimeOfTest()
    const work = Promise.withResolvers<void>()
    runtime.waitUntil(work.promise, { name: 'audit' })
    let isOver = false
    const stopped = runtime.stop().finally(() => {
      isOver = true
    })
    await new Promise(setImmediate)
    expect(isOver).toBe(false)
    work.resolve()
    expect(await stopped).toEqual({ completed: 0, failed: 0, lost: [], left: [] })
  })

  test('lets the report of a stop name what had not settled by its deadline', async () => {
    const runtime = runtimeOfTest()
    runtime.waitUntil(new Promise(() => {}), { name: 'audit' })
    runtime.waitUntil(new Promise(() => {}))
    expect((await runtime.stop({ timeout: 1 })).unsettled).toEqual(['audit', 'unnamed'])
  })

  test('tells of a rejection as an event, and of no unhandled one', async () => {
    const runtime = runtimeOfTest()
    const rejected = nextEvent(runtime, 'promise:rejected')
    const error = new Error('the audit is down')
    runtime.waitUntil(Promise.reject(error), { name: 'audit' })
    expect(await rejected).toEqual({ name: 'audit', error })
    expect((await runtime.stop()).unsettled).toBeUndefined()
  })

  test('finds the runtime of the request, with none at hand', async () => {
    const runtime = runtimeOfTest()
    const jobs = afterResponse(runtime)
    const work = Promise.withResolvers<void>()
    const server = createServer((req, res) => {
      jobs(req, res, () => {
        waitUntil(work.promise, { name: 'log shipping' })
        res.end('ok')
      })
    })
    await get(await listen(server))
    const stopped = runtime.stop({ timeout: 1 })
    expect((await stopped).unsettled).toEqual(['log shipping'])
    work.resolve()
  })

  test('is refused outside of a request, and ends no process by the promise', () => {
    expect(() => waitUntil(Promise.reject(new Error('unheard')))).toThrow(
      expect.objectContaining({
        code: 'ERR_NO_REQUEST',
        message: expect.stringContaining('runtime.waitUntil()'),
      }),
    )
  })

  test.each([[undefined], [5], [() => {}], [{}], [null]])(
    'refuses %j, which is no promise',
    async (value) => {
      const runtime = runtimeOfTest()
      expect(() => runtime.waitUntil(value as never)).toThrow(
        expect.objectContaining({
          code: 'ERR_OPTIONS_INVALID',
          message: expect.stringContaining('a promise'),
        }),
      )
      await runtime.stop()
    },
  )

  test('takes a promise of another kind, and one that fights back', async () => {
    const runtime = runtimeOfTest()
    const rejected = nextEvent(runtime, 'promise:rejected')
    // biome-ignore lint/suspicious/noThenProperty: a promise of another kind is what this is about.
    runtime.waitUntil({ then: (resolve: (value: unknown) => void) => resolve(1) } as never)
    runtime.waitUntil({
      // biome-ignore lint/suspicious/noThenProperty: as above.
      then() {
        throw new Error('never a promise')
      },
    } as never)
    expect((await rejected).error.message).toBe('never a promise')
    expect((await runtime.stop()).unsettled).toBeUndefined()
  })

  test('with an option that is refused ends no process by the promise', async () => {
    const runtime = runtimeOfTest()
    expect(() => runtime.waitUntil(Promise.reject(new Error('unheard')), { name: 5 as never })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'name' }),
    )
    await runtime.stop()
  })

  test('is refused once the runtime has stopped', async () => {
    const runtime = runtimeOfTest()
    await runtime.stop()
    expect(() => runtime.waitUntil(Promise.reject(new Error('unheard')))).toThrow(
      expect.objectContaining({ code: 'ERR_RUNTIME_STOPPED' }),
    )
  })
})
