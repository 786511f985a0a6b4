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

  test.each([
    [undefined, 'expected a runtime, or the options of one ({ tasks }), got undefined'],
    [null, 'got null'],
    [createServer(), 'got a Server'],
    [(): void => {}, 'got a function'],
    [{}, 'got an object'],
    [httpTasks, 'got an array'],
  ])('refuses %s in place of a runtime, and says how to call it', (given, message) => {
    for (const face of [afterResponse, afterPolkaResponse]) {
      expect(() => face(given as never)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', message: expect.stringContaining(message) }),
      )
      expect(() => face(given as never)).toThrow('Call app.use(afterResponse(runtime)).')
    }
  })

  test.each([
    [[]],
    [[{}]],
    [[{}, {}]],
    [[{}, null]],
    [['req', 'res']],
    [[{}, { end() {}, statusCode: 200 }]],
  ])('gives a middleware that refuses to be called with %j', (given) => {
    for (const face of [afterResponse, afterPolkaResponse]) {
      expect(() => (face(runtime) as (...args: unknown[]) => unknown)(...given)).toThrow(
        expect.objectContaining({
          code: 'ERR_OPTIONS_INVALID',
          message: expect.stringMatching(/expected \(req, res, next\)/),
        }),
      )
    }
  })

  test.each([null, 'handler', {}, 7])('gives an onError that refuses the handler %j', (handler) => {
    for (const face of [afterResponse, afterPolkaResponse]) {
      expect(() => (face(runtime).onError as (handler: unknown) => unknown)(handler)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', message: expect.stringContaining('onError') }),
      )
    }
  })

  test.each<[unknown: () => unknown, string]>([
    [() => Promise.resolve({ tenant: 'a' }), 'a Promise'],
    [() => Promise.reject(new Error('nobody hears this')), 'a Promise'],
    [() => new Map([['tenant', 'a']]), 'a Map'],
    [() => new Headers(), 'a Headers'],
    [() => ['a'], 'an array of 1'],
    [() => 'a', '"a"'],
  ])('refuses a job when its baggage function is %s and returns %s', async (baggage, what) => {
    const carrying = afterResponse(runtime, { baggage: baggage as never })
    const server = createServer((req, res) => {
      carrying(req, res)
      try {
        req.after(note, { text: 'x' })
      } catch (error) {
        res.end((error as Error).message)
      }
    })
    expect(await (await get(await listen(server))).text()).toContain(
      `afterResponse: baggage returned ${what}; expected an object of strings.`,
    )
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

  test.each([undefined, null, 'res', {}, new Error('the error alone')])(
    'failed() refuses %s in place of a response',
    (res) => {
      expect(() => failed(res as never, new Error('x'))).toThrow(
        expect.objectContaining({
          code: 'ERR_OPTIONS_INVALID',
          message: expect.stringContaining('failed(res, error)'),
        }),
      )
    },
  )

  test('failed() has no effect on a response that no middleware has seen', async () => {
    const server = createServer((_req, res) => {
      failed(res, new Error('unseen'))
      res.end('fine')
    })
    expect(await (await get(await listen(server))).text()).toBe('fine')
  })
})
