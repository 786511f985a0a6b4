/** The rules of the response that are about adding: 1 (the request owns the jobs), 2 (refusals), 9 (adding late), 11 (what travels). */
import { once } from 'node:events'
import { createServer } from 'node:http'
import polka from 'polka'
import { describe, expect, onTestFinished, test } from 'vitest'
import { afterResponse as afterAnyResponse } from '../../src/http/index.ts'
import { afterResponse } from '../../src/http/polka.ts'
import { type AftertaskError, after as addJob, type Job } from '../../src/index.ts'
import { nested, note } from '../fixtures/http-tasks.ts'
import { everythingElseRan, gate, handOver, httpRuntime, nextEvent } from '../kit/jobs.ts'
import { get, getBytes, listen, listenPolka, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)

interface Noted {
  payload: { text: string; tags?: string[] | undefined }
  requestId: string | null
  traceparent: string | null
  baggage: Record<string, string>
  started: number
  ended: number
}

describe('rule 1: jobs belong to the request', () => {
  test('middleware, handler and mounted sub-app add to the same batch, in order', async () => {
    const jobs: Job<Noted>[] = []
    const sub = polka()
      .use(tasks)
      .get('/deep', (req, res) => {
        jobs.push(req.after(note, { text: 'handler of the sub-app' }))
        res.end('deep')
      })
    const app = polka()
      .use(tasks)
      .use((req, _res, next) => {
        jobs.push(req.after(note, { text: 'middleware' }))
        return next()
      })
      .use('/sub', sub)
    await get(await listenPolka(app), '/sub/deep')
    const results = await Promise.all(jobs.map((job) => job.result()))
    expect(results.map(({ payload }) => payload.text)).toEqual(['middleware', 'handler of the sub-app'])
    expect(results[1]?.started).toBeGreaterThanOrEqual(results[0]?.ended ?? 0)
  })

  test('a response that another middleware takes over keeps the jobs', async () => {
    const added = handOver()
    const app = polka({
      onNoMatch: (_req, res) => {
        res.statusCode = 404
        res.end('nothing here')
      },
    })
    app.use(tasks, (req, _res, next) => {
      added.give(req.after(note, { text: 'visit' }))
      return next()
    })
    expect((await get(await listenPolka(app), '/nowhere')).status).toBe(404)
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('another runtime has a batch of its own for the same request', async () => {
    const other = httpRuntime({}, onTestFinished)
    const { channel, open } = gate()
    const jobs: Job[] = []
    const app = polka()
      .use(tasks)
      .use((req, _res, next) => {
        jobs.push(req.after('gated', { channel }))
        return next()
      })
      .use(afterResponse(other))
      .get('/', (req, res) => {
        jobs.push(req.after(note, { text: 'other runtime' }))
        res.end()
      })
    await get(await listenPolka(app))
    expect((await jobs[1]?.settled)?.state).toBe('completed')
    expect(jobs[0]?.state).not.toBe('completed')
    jobs[0]?.cancel()
    open()
    expect(other.stats().completed).toBe(1)
  })

  test('req.after works when it is taken off the request', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', ({ after: add, tryAfter }, res) => {
        add(note, { text: 'destructured' })
        added.give(tryAfter(note, { text: 'and tried' }) as Job)
        res.end()
      })
    await get(await listenPolka(app))
    expect((await (await added.job).settled).state).toBe('completed')
  })
})

describe('rule 2: refusals', () => {
  const refusing = httpRuntime({ maxPending: 2 })
  const answerWithStatus = (add: (req: PolkaRequest) => unknown) =>
    polka()
      .use(afterResponse(refusing))
      .get('/', (req, res) => {
        try {
          add(req)
          res.end('accepted')
        } catch (error) {
          const { status, code } = error as AftertaskError
          res.statusCode = status ?? 500
          res.end(code)
        }
      })
  type PolkaRequest = Parameters<Parameters<ReturnType<typeof polka>['get']>[1]>[0]

  test.each<[string, string, number, (req: PolkaRequest) => unknown]>([
    ['an unknown name', 'ERR_UNKNOWN_TASK', 500, (req) => req.after('noet', { text: 'x' })],
    ['an invalid payload', 'ERR_PAYLOAD_INVALID', 400, (req) => req.after('note', { text: 1 })],
    [
      'an unknown option',
      'ERR_OPTIONS_INVALID',
      500,
      (req) => req.after(note, { text: 'x' }, { wen: 'ok' } as never),
    ],
  ])(
    '%s is a typed error at the call, so that the handler can still answer',
    async (_name, code, status, add) => {
      const response = await get(await listenPolka(answerWithStatus(add)))
      expect([response.status, await response.text()]).toEqual([status, code])
      expect(refusing.stats().pending).toBe(0)
    },
  )

  test('an error that is not caught is answered with its own status', async () => {
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        req.after('note', { text: 1 })
        res.end('never')
      })
    const response = await get(await listenPolka(app))
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('text')
  })

  test('a full queue is a 503 with retryAfter, and null from tryAfter; what was added before is kept', async () => {
    const jobs: (Job | null)[] = []
    const refused = Promise.withResolvers<{ status: number; code: string; retryAfter: number }>()
    const app = polka()
      .use(afterResponse(refusing))
      .get('/', (req, res) => {
        jobs.push(
          req.after(note, { text: '1' }),
          req.after(note, { text: '2' }),
          req.tryAfter(note, { text: '3' }),
        )
        try {
          req.after(note, { text: '4' })
        } catch (error) {
          refused.resolve(error as never)
        }
        res.end()
      })
    await get(await listenPolka(app))
    expect(await refused.promise).toMatchObject({
      status: 503,
      code: 'ERR_QUEUE_FULL',
      retryAfter: expect.any(Number),
    })
    expect(jobs[2]).toBeNull()
    expect((await jobs[1]?.settled)?.state).toBe('completed')
    expect(refusing.stats()).toMatchObject({ pending: 0, completed: 2 })
  })

  test('a runtime that has stopped refuses with 503', async () => {
    const stopped = httpRuntime({}, onTestFinished)
    const app = polka()
      .use(afterResponse(stopped))
      .get('/', (req, res) => {
        req.after(note, { text: 'too late' })
        res.end()
      })
    await stopped.stop()
    expect((await get(await listenPolka(app))).status).toBe(503)
  })

  test('the payload is copied at the call: later changes of it are invisible', async () => {
    const added = handOver<Noted>()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        const payload = { text: 'as it was', tags: ['one'] }
        added.give(req.after(note, payload))
        payload.text = 'changed'
        payload.tags.push('two')
        res.end()
      })
    await get(await listenPolka(app))
    expect((await (await added.job).result()).payload).toEqual({ text: 'as it was', tags: ['one'] })
  })
})

describe('rule 9: adding late', () => {
  test('a job that is added after the response has settled runs at once', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        res.on('close', () => setImmediate(() => added.give(req.after(note, { text: 'late' }))))
        res.end()
      })
    await get(await listenPolka(app))
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('it joins the batch of its request: in order behind the jobs that were added in time', async () => {
    const { channel, open } = gate()
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        req.after('gated', { channel })
        res.on('close', () => added.give(req.after(note, { text: 'behind' })))
        res.end()
      })
    const started = nextEvent(runtime, 'job:progress')
    await get(await listenPolka(app))
    await started
    const job = await added.job
    await everythingElseRan(runtime)
    expect(job.state).toBe('waiting')
    open()
    expect((await job.settled).state).toBe('completed')
  })

  test('it is skipped when the response did not call for it', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        res.on('close', () => added.give(req.after(note, { text: 'late' }, { when: 'error' })))
        res.end()
      })
    await get(await listenPolka(app))
    expect((await added.job).state).toBe('skipped')
  })

  test('a job that a handler adds counts: stop waits for it', async () => {
    const own = httpRuntime({}, onTestFinished)
    const added = handOver<string>()
    const app = polka()
      .use(afterResponse(own))
      .get('/', (req, res) => {
        added.give(req.after(nested, { text: 'added by a handler' }))
        res.end()
      })
    await get(await listenPolka(app))
    await added.job
    const { completed, lost } = await own.stop()
    expect(lost).toEqual([])
    expect(own.stats().completed).toBe(2)
    expect(completed).toBeLessThanOrEqual(2)
  })
})

describe('rule 11: what travels', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

  async function noted(headers: Record<string, string>, id?: unknown): Promise<Noted> {
    const added = handOver<Noted>()
    const app = polka()
      .use((req, _res, next) => {
        if (id !== undefined) Object.assign(req, { id })
        return next()
      })
      .use(
        afterResponse(runtime, {
          baggage: (req) => ({ tenant: req.headers['x-tenant'] as string | undefined, kept: 'yes' }),
        }),
      )
      .get('/', (req, res) => {
        added.give(req.after(note, { text: 'travels' }))
        res.end()
      })
    await get(await listenPolka(app), '/', { headers })
    return (await added.job).result()
  }

  test('the request id, the trace and the baggage travel with the job', async () => {
    expect(await noted({ 'x-request-id': 'req-42', 'x-tenant': 'acme', traceparent })).toMatchObject({
      requestId: 'req-42',
      traceparent,
      baggage: { tenant: 'acme', kept: 'yes' },
    })
  })

  test('an id that the server gave the request goes before the header', async () => {
    expect((await noted({ 'x-request-id': 'from-outside' }, 'our-own')).requestId).toBe('our-own')
    expect((await noted({ 'x-request-id': 'from-outside' }, 7)).requestId).toBe('from-outside')
  })

  test.each([
    ['with blanks', 'two words'],
    ['longer than 200 characters', 'x'.repeat(201)],
    ['with characters that are not visible', 'caf\u00e9'],
  ])('a request id %s does not travel', async (_name, id) => {
    expect((await noted({ 'x-request-id': id })).requestId).toBeNull()
  })

  test.each([
    ['of zeros', '00-00000000000000000000000000000000-b7ad6b7169203331-01'],
    ['of a forbidden version', `ff${traceparent.slice(2)}`],
    ['in capitals', traceparent.toUpperCase()],
    ['that is cut short', traceparent.slice(0, -1)],
  ])('a traceparent %s does not travel', async (_name, header) => {
    expect((await noted({ traceparent: header })).traceparent).toBeNull()
  })

  test('baggage that is not made of strings is refused at the call, and nothing is kept', async () => {
    const app = polka()
      .use(afterResponse(runtime, { baggage: () => ({ user: 5 }) as never }))
      .get('/', (req, res) => {
        expect(() => req.after(note, { text: 'x' })).toThrow('baggage "user" is 5; expected a string')
        res.end('refused')
      })
    const { pending } = runtime.stats()
    expect(await (await get(await listenPolka(app))).text()).toBe('refused')
    expect(runtime.stats().pending).toBe(pending)
  })
})

describe('after(), without a request at hand', () => {
  test('adds to the batch of the request that it is called within, also behind an await', async () => {
    const jobs: Job<Noted>[] = []
    const service = async (text: string): Promise<void> => {
      await new Promise(setImmediate)
      jobs.push(addJob(note, { text }))
    }
    const app = polka()
      .use(tasks)
      .get('/:name', async (req, res) => {
        const name = req.params['name'] ?? ''
        await service(`${name} 1`)
        await service(`${name} 2`)
        expect(jobs.every((job) => job.state !== 'running')).toBe(true)
        res.end(name)
      })
    await get(await listenPolka(app), '/alone', { headers: { 'x-request-id': 'of-the-request' } })
    const results = await Promise.all(jobs.map((job) => job.result()))
    expect(results.map(({ requestId }) => requestId)).toEqual(['of-the-request', 'of-the-request'])
    expect(results[1]?.started).toBeGreaterThanOrEqual(results[0]?.ended ?? Number.POSITIVE_INFINITY)
  })

  test('keeps requests apart that are handled at the same time, pipelined ones too', async () => {
    const ids = Promise.withResolvers<(string | null)[]>()
    const jobs = new Map<string, Job<Noted>>()
    const server = createServer((req, res) =>
      afterAnyResponse(runtime)(req, res, async () => {
        const path = req.url ?? ''
        for (let i = 0; i < 3; i++) await new Promise(setImmediate)
        jobs.set(path, addJob(note, { text: path }))
        res.end(path)
        if (jobs.size === 2) {
          const results = [...jobs.values()].map((job) => job.result())
          void Promise.all(results).then((all) => ids.resolve(all.map(({ requestId }) => requestId)))
        }
      }),
    )
    const client = await rawClient(await listen(server))
    const withId = (path: string): string =>
      getBytes(path).replace('Host', `x-request-id: id-of-${path}\r\nHost`)
    client.send(withId('/a') + withId('/b'))
    expect(await ids.promise).toEqual(['id-of-/a', 'id-of-/b'])
  })

  test('is found in a middleware that was called without next', async () => {
    const added = handOver()
    const anyTasks = afterAnyResponse(runtime)
    const server = createServer(async (req, res) => {
      anyTasks(req, res)
      await new Promise(setImmediate)
      const job = addJob(note, { text: 'no next' })
      expect(job.state).toBe('held')
      added.give(job)
      res.end()
    })
    await get(await listen(server))
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('outside of a request is refused, whatever runtimes are in use', () => {
    expect(() => addJob(note, { text: 'outside' })).toThrow(
      expect.objectContaining({ code: 'ERR_NO_REQUEST' }),
    )
    expect(runtime.stats().pending).toBe(0)
  })

  test('within a request whose response is over runs at once', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', async (_req, res) => {
        res.end()
        await once(res, 'close')
        added.give(addJob(note, { text: 'over' }))
      })
    await get(await listenPolka(app))
    expect((await (await added.job).settled).state).toBe('completed')
  })
})
