import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { afterResponse, failed } from '../../src/http/index.ts'
import { afterResponse as afterPolkaResponse } from '../../src/http/polka.ts'
import { httpTasks, note } from '../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../kit/jobs.ts'
import { get, listen } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)

describe('afterResponse', () => {
  test.each([
    [{ ordr: 'parallel' }, 'unknown option "ordr". Did you mean "order"?'],
    [{ order: 'random' }, `option "order" is "random"; expected 'sequential' or 'parallel'`],
    [{ onFailure: 'ignore' }, `option "onFailure" is "ignore"; expected 'continue' or 'stop'`],
    [{ baggage: { a: 'b' } }, 'option "baggage" is an object; expected a function of the request'],
  ])('refuses the options %j, saying what is wrong', (options, message) => {
    expect(() => afterResponse(runtime, options as never)).toThrow(message)
    expect(() => afterPolkaResponse(runtime, options as never)).toThrow(message)
  })

  test('hands out the runtime that it was given', () => {
    expect(tasks.runtime).toBe(runtime)
  })

  test('makes a runtime from plain options, and hands it out', async () => {
    const oneLiner = afterResponse({ tasks: httpTasks, pool: { threads: 1 } }, { onFailure: 'stop' })
    onTestFinished(async () => void (await oneLiner.runtime.stop()))
    const added = handOver()
    const server = createServer((req, res) =>
      oneLiner(req, res, () => {
        added.give(req.after(note, { text: 'one line' }))
        res.end()
      }),
    )
    await get(await listen(server))
    expect((await (await added.job).settled).state).toBe('completed')
    expect(oneLiner.runtime.stats().completed).toBe(1)
  })

  test('refuses plain options as createRuntime does', () => {
    expect(() => afterResponse({ tasks: httpTasks, maxPendin: 1 } as never)).toThrow(
      'Did you mean "maxPending"?',
    )
  })

  test('returns what next() returns', async () => {
    const server = createServer((req, res) => {
      const value: number = tasks(req, res, () => 42)
      res.end(String(value))
    })
    expect(await (await get(await listen(server))).text()).toBe('42')
  })
})

describe('without a framework', () => {
  test.each([
    [
      'throws',
      () => {
        throw new Error('sync')
      },
    ],
    ['rejects', () => Promise.reject(new Error('async'))],
  ])(
    'an error that next() %s with is handed on, and makes the request fail whatever the status',
    async (_how, fail) => {
      const added = handOver()
      const server = createServer(async (req, res) => {
        try {
          await tasks(req, res, () => {
            added.give(req.after(note, { text: 'never' }))
            return fail()
          })
        } catch (error) {
          res.statusCode = 400
          res.end((error as Error).message)
        }
      })
      expect(await (await get(await listen(server))).text()).toMatch(/sync/)
      expect((await (await added.job).settled).state).toBe('skipped')
    },
  )

  test('a rejection that nobody handles is reported by Node once', async () => {
    const reported: unknown[] = []
    const onUnhandled = (error: unknown): void => void reported.push(error)
    process.on('unhandledRejection', onUnhandled)
    onTestFinished(() => void process.off('unhandledRejection', onUnhandled))
    const server = createServer((req, res) => {
      void tasks(req, res, async () => {
        res.end()
        throw new Error('nobody handles this')
      })
    })
    await get(await listen(server))
    await new Promise(setImmediate)
    expect(reported).toEqual([new Error('nobody handles this')])
  })

  test('failed() has no effect on a response that no middleware has seen', async () => {
    const server = createServer((_req, res) => {
      failed(res, new Error('unseen'))
      res.end('fine')
    })
    expect(await (await get(await listen(server))).text()).toBe('fine')
  })
})
