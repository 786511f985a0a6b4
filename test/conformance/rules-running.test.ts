/** The rules of the response that are about running: 4 (when), 6 (order), 7 (failures), 8 (errors stay inside). */
import polka, { type Middleware } from 'polka'
import { describe, expect, onTestFinished, test } from 'vitest'
import { afterResponse, failed } from '../../src/http/polka.ts'
import type { Job, When } from '../../src/index.ts'
import { failing, note } from '../fixtures/http-tasks.ts'
import { gate, handOver, httpRuntime, nextEvent } from '../kit/jobs.ts'
import { get, listenPolka } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)

interface Ran {
  started: number
  ended: number
}

describe('rule 4: when', () => {
  /** Adds one job for each `when`, then lets the handler answer; returns how each job ended. */
  async function outcomes(answer: Middleware, options: Parameters<typeof polka>[0] = {}) {
    const jobs: Job[] = []
    const forms: When[] = ['ok', 'error', 'always', ({ statusCode }) => statusCode === 404]
    const app = polka(options)
      .use(tasks)
      .get('/', (req, res, next) => {
        for (const when of forms)
          jobs.push(req.after(note, { text: String(when) }, { when, order: 'parallel' }))
        jobs.push(req.after(note, { text: 'default' }, { order: 'parallel' }))
        return answer(req, res, next)
      })
    await (await get(await listenPolka(app))).text()
    const settled = await Promise.all(jobs.map((job) => job.settled))
    const [ok, error, always, predicate, byDefault] = settled.map(({ state }) => state)
    return { ok, error, always, predicate, byDefault }
  }

  const ran = {
    ok: 'completed',
    error: 'skipped',
    always: 'completed',
    predicate: 'skipped',
    byDefault: 'completed',
  }
  const failedOnes = {
    ok: 'skipped',
    error: 'completed',
    always: 'completed',
    predicate: 'skipped',
    byDefault: 'skipped',
  }
  const status =
    (code: number): Middleware =>
    (_req, res) => {
      res.statusCode = code
      res.end('answer')
    }

  test.each([200, 201, 302, 400, 499])('a response with status %i did not fail', async (code) => {
    expect(await outcomes(status(code))).toEqual(ran)
  })

  test.each([500, 503, 599])('a response with status %i failed', async (code) => {
    expect(await outcomes(status(code))).toEqual(failedOnes)
  })

  test('a predicate decides on the facts of the response', async () => {
    expect(await outcomes(status(404))).toEqual({ ...ran, predicate: 'completed' })
  })

  test('a predicate that throws skips the job, and says so', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        const when = (): boolean => {
          throw new TypeError('bad predicate')
        }
        added.give(req.after(note, { text: 'x' }, { when }))
        res.end()
      })
    expect((await get(await listenPolka(app))).status).toBe(200)
    const { state, error } = await (await added.job).settled
    expect(state).toBe('skipped')
    expect(error?.message).toContain('TypeError: bad predicate')
  })

  const answersWith400 = {
    onError: (
      _error: unknown,
      _req: unknown,
      res: { statusCode: number; end(text: string): unknown },
    ): void => {
      res.statusCode = 400
      res.end('handled')
    },
  }

  test.each<[string, Middleware]>([
    [
      'thrown',
      () => {
        throw new Error('sync')
      },
    ],
    [
      'rejected',
      async () => {
        await new Promise(setImmediate)
        throw new Error('async')
      },
    ],
    ['given to next', (_req, _res, next) => next(new Error('next'))],
    ['given to next later', (_req, _res, next) => void setImmediate(next, new Error('later'))],
  ])(
    "an error that is %s reached the framework's error handler: the request failed, even when it is answered with 400",
    async (_how, answer) => {
      expect(await outcomes(answer, answersWith400)).toEqual(failedOnes)
    },
  )

  test("an error without an onError of one's own is answered by Polka, and the request failed", async () => {
    const notFound = Object.assign(new Error('not found'), { status: 404 })
    const result = await outcomes(() => {
      throw notFound
    })
    expect(result).toEqual({ ...failedOnes, predicate: 'completed' })
  })

  test('an error that is thrown after the response was ended does not make it fail', async () => {
    const result = await outcomes(
      (_req, res) => {
        res.end('answered')
        throw new Error('afterwards')
      },
      { onError: () => undefined },
    )
    expect(result).toEqual(ran)
  })

  test('failed() tells of an error that was caught and answered', async () => {
    const result = await outcomes((_req, res) => {
      failed(res, new Error('caught'))
      res.statusCode = 400
      res.end()
    })
    expect(result).toEqual(failedOnes)
  })

  test('a route that is not there is an answer like any other, with an onError of the middleware too', async () => {
    const added = handOver()
    const app = polka({ onError: tasks.onError() }).use(tasks, (req, _res, next) => {
      added.give(req.after(note, { text: 'visit' }))
      return next()
    })
    expect((await get(await listenPolka(app), '/nowhere')).status).toBe(404)
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('a skipped job tells its reason in an event', async () => {
    const skipped = nextEvent(runtime, 'job:skipped')
    await outcomes(status(503))
    expect((await skipped).reason).toContain('503')
  })
})

describe('rule 6: order', () => {
  async function run(policy: Parameters<typeof afterResponse>[1], order?: 'parallel'): Promise<Ran[]> {
    const gates = [gate(), gate()]
    const jobs: Job<Ran>[] = []
    const app = polka()
      .use(afterResponse(runtime, policy))
      .get('/', (req, res) => {
        for (const { channel } of gates) {
          jobs.push(req.after('gated', { channel }, order && { order }) as Job<Ran>)
        }
        res.end()
      })
    let seen = 0
    const onProgress = (): void => {
      seen++
      // Side by side: neither gate opens before both wait at it. One after the other: each opens as it is reached.
      if (policy?.order === 'parallel' || order === 'parallel') {
        if (seen === 2) for (const { open } of gates) open()
      } else gates[seen - 1]?.open()
    }
    runtime.on('job:progress', onProgress)
    onTestFinished(() => void runtime.off('job:progress', onProgress))
    await get(await listenPolka(app))
    return Promise.all(jobs.map((job) => job.result()))
  }

  test('the jobs of a request run one after the other, in the order added', async () => {
    const [first, second] = await run(undefined)
    expect(second?.started).toBeGreaterThanOrEqual(first?.ended ?? Number.POSITIVE_INFINITY)
  })

  test("order 'parallel' lets them run side by side", async () => {
    const [first, second] = await run({ order: 'parallel' })
    expect(second?.started).toBeLessThan(first?.ended ?? 0)
  })

  test('one call can say so for its job', async () => {
    const [first, second] = await run({}, 'parallel')
    expect(second?.started).toBeLessThan(first?.ended ?? 0)
  })

  test('the batches of different requests run side by side', async () => {
    const gates = [gate(), gate()]
    const jobs: Promise<Ran>[] = []
    const app = polka()
      .use(tasks)
      .get('/:which', (req, res) => {
        const { channel } = gates[Number(req.params['which'])] ?? gate()
        jobs.push((req.after('gated', { channel }) as Job<Ran>).result())
        res.end()
      })
    let seen = 0
    const both = nextEvent(runtime, 'job:progress', () => ++seen === 2)
    const port = await listenPolka(app)
    await Promise.all([get(port, '/0'), get(port, '/1')])
    await both
    for (const { open } of gates) open()
    const [first, second] = await Promise.all(jobs)
    expect(second?.started).toBeLessThan(first?.ended ?? 0)
  })
})

describe('rule 7: failures', () => {
  async function settledAfterFailure(policy?: Parameters<typeof afterResponse>[1]) {
    const jobs: Job[] = []
    const app = polka()
      .use(afterResponse(runtime, policy))
      .get('/', (req, res) => {
        jobs.push(req.after(failing, { message: 'first' }))
        jobs.push(req.after(note, { text: 'second' }), req.after(note, { text: 'third' }))
        res.end()
      })
    await get(await listenPolka(app))
    return Promise.all(jobs.map((job) => job.settled))
  }

  test('a failed job is recorded, and the next ones of its batch still run', async () => {
    const [first, second, third] = await settledAfterFailure()
    expect(first).toMatchObject({
      state: 'dead',
      attempts: 1,
      error: { name: 'RangeError', message: 'first' },
    })
    expect([second?.state, third?.state]).toEqual(['completed', 'completed'])
  })

  test("onFailure 'stop' skips the rest, with a reason", async () => {
    const [, second, third] = await settledAfterFailure({ onFailure: 'stop' })
    expect([second?.state, third?.state]).toEqual(['skipped', 'skipped'])
    expect(second?.error?.message).toMatch(/skipped: .+/)
  })
})

describe('rule 8: errors stay inside', () => {
  test("a task's error reaches neither the client, nor the response, nor the process", async () => {
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', onUnhandled)
    onTestFinished(() => void process.off('unhandledRejection', onUnhandled))
    const reached: unknown[] = []
    const added = handOver()
    const app = polka({ onError: (error) => void reached.push(error) })
      .use(tasks)
      .get('/', (req, res) => {
        res.on('error', (error) => reached.push(error))
        added.give(req.after(failing, { message: 'inside' }))
        res.end('fine')
      })
    const response = await get(await listenPolka(app))
    expect([response.status, await response.text()]).toEqual([200, 'fine'])
    await (await added.job).settled
    await new Promise(setImmediate)
    expect([reached, unhandled]).toEqual([[], []])
  })

  test('a listener that throws is contained', async () => {
    const thrower = (): void => {
      throw new Error('a bad listener')
    }
    runtime.on('job:dead', thrower)
    onTestFinished(() => void runtime.off('job:dead', thrower))
    const heard = nextEvent(runtime, 'job:dead')
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        req.after(failing, { message: 'heard by all' })
        res.end()
      })
    await get(await listenPolka(app))
    expect((await heard).error.message).toBe('heard by all')
  })
})
