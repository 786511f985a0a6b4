import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import polka from 'polka-05'
import { describe, expect, test } from 'vitest'
import { afterResponse } from '../../src/http/polka.ts'
import type { Job } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { everythingElseRan, handOver, httpRuntime } from '../kit/jobs.ts'
import { get, getBytes, listenPolka, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)
type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => unknown) => unknown

describe('Polka 0.5', () => {
  test('a job runs after the response', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .get('/', (req, res) => {
        const job = req.after(note, { text: '0.5' })
        added.give(job)
        res.end(job.state)
      })
    expect(await (await get(await listenPolka(app))).text()).toBe('held')
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('a mounted sub-app adds to the batch of the request, under the URL that the client sent', async () => {
    const jobs: Job[] = []
    const urls: string[] = []
    const sub = polka()
      .use(tasks)
      .get('/deep', (req, res) => {
        const when = ({ url }: { url: string }): boolean => urls.push(url) > 0
        jobs.push(req.after(note, { text: 'sub' }, { when }))
        res.end('deep')
      })
    const app = polka()
      .use(tasks, (req, _res, next) => {
        jobs.push(req.after(note, { text: 'app' }))
        return next()
      })
      .use('/sub', sub)
    await get(await listenPolka(app), '/sub/deep?x=1')
    const settled = await Promise.all(jobs.map((job) => job.settled))
    expect(settled.map(({ state }) => state)).toEqual(['completed', 'completed'])
    expect(urls).toEqual(['/sub/deep?x=1'])
  })

  test('an error that is given to next makes the request fail, even when it is answered with 400', async () => {
    const added = handOver()
    const app = polka({
      onError: (_error, _req, res) => {
        res.statusCode = 400
        res.end('handled')
      },
    })
      .use(tasks)
      .get('/', (req, _res, next) => {
        added.give(req.after(note, { text: 'never' }))
        next(new Error('given to next'))
      })
    expect((await get(await listenPolka(app))).status).toBe(400)
    expect((await (await added.job).settled).state).toBe('skipped')
  })

  const faults: [string, (req: IncomingMessage, res: ServerResponse) => unknown, number][] = [
    ['a payload that is refused', (req) => req.after(note, { text: 7 } as never), 400],
    ['an unknown task', (req) => req.after('nowhere' as never, undefined as never), 500],
    [
      'a plain error',
      () => {
        throw new Error('plain')
      },
      500,
    ],
    [
      'an error with a status',
      () => {
        throw Object.assign(new Error('teapot'), { status: 418 })
      },
      418,
    ],
    [
      'an error of the system',
      () => {
        throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
      },
      500,
    ],
    [
      'nothing',
      () => {
        // biome-ignore lint/style/useThrowOnlyError: people do
        throw undefined
      },
      500,
    ],
    [
      'a string',
      () => {
        // biome-ignore lint/style/useThrowOnlyError: people do
        throw 'text'
      },
      500,
    ],
  ]
  const callers: [string, (fault: (req: IncomingMessage, res: ServerResponse) => unknown) => Handler][] = [
    ['throws', (fault) => (req, res) => void fault(req, res)],
    [
      'rejects with',
      (fault) => async (req, res) => {
        await new Promise(setImmediate)
        fault(req, res)
      },
    ],
    [
      'gives next',
      (fault) => (req, res, next) => {
        try {
          fault(req, res)
        } catch (error) {
          next((error ?? 'nothing') as Error)
        }
      },
    ],
  ]
  test.each(callers.flatMap(([how, caller]) => faults.map((fault) => [how, ...fault, caller] as const)))(
    "a handler that %s %s is answered by Polka's own onError, and the server goes on",
    async (_how, _what, fault, status, caller) => {
      const app = polka()
        .use(tasks)
        .get('/bad', caller(fault))
        .get('/good', (_req, res) => void res.end('good'))
      const port = await listenPolka(app)
      expect((await get(port, '/bad')).status).toBe(status)
      expect(await (await get(port, '/good')).text()).toBe('good')
    },
  )

  test('a handler behind a middleware that goes on from a timer reaches onError as well', async () => {
    const added = handOver()
    const errors: unknown[] = []
    const app = polka({
      onError: (error, _req, res) => {
        errors.push(error)
        res.statusCode = 400
        res.end('handled')
      },
    })
      .use(tasks)
      .use((_req, _res, next) => void setTimeout(next, 1))
      .get('/', (req) => {
        added.give(req.after(note, { text: 'never' }))
        throw new Error('behind a timer')
      })
    expect((await get(await listenPolka(app))).status).toBe(400)
    expect(errors).toEqual([new Error('behind a timer')])
    expect((await (await added.job).settled).state).toBe('skipped')
  })

  test('an error goes to onError and not to the middleware before it, as with Polka 1.0', async () => {
    const seen: string[] = []
    const app = polka({
      onError: (error, _req, res) => {
        seen.push(`onError ${(error as Error).message}`)
        res.end()
      },
    })
      .use(tasks)
      .use(async (_req, _res, next) => {
        try {
          await next()
          seen.push('the middleware goes on')
        } catch {
          seen.push('the middleware caught it')
        }
      })
      .get('/', async () => {
        await new Promise(setImmediate)
        throw new Error('x')
      })
    await get(await listenPolka(app))
    expect(seen).toEqual(['onError x', 'the middleware goes on'])
  })

  test('a handler that throws after its answer does not end the server', async () => {
    const app = polka()
      .use(tasks)
      .get('/', (_req, res) => {
        res.end('answered')
        throw new Error('afterwards')
      })
      .get('/async', async (_req, res) => {
        res.end('answered')
        await new Promise(setImmediate)
        throw new Error('afterwards')
      })
    const port = await listenPolka(app)
    expect(await (await get(port)).text()).toBe('answered')
    expect(await (await get(port, '/async')).text()).toBe('answered')
    await new Promise(setImmediate)
    expect(await (await get(port)).text()).toBe('answered')
  })

  test('a mounted sub-app that throws is answered by the onError of the app', async () => {
    const sub = polka().get('/deep', (req) => void req.after(note, { text: 7 } as never))
    const app = polka().use(tasks).use('/sub', sub)
    expect((await get(await listenPolka(app), '/sub/deep')).status).toBe(400)
  })

  test("onError of the middleware answers as Polka's own does", async () => {
    const app = polka({ onError: tasks.onError() }).use(tasks)
    app.get('/', (_req, _res, next) => next({ code: 418, message: 'a teapot' }))
    const port = await listenPolka(app)
    const teapot = await get(port)
    expect([teapot.status, await teapot.text()]).toEqual([418, 'a teapot'])
    const nowhere = await get(port, '/nowhere')
    expect([nowhere.status, await nowhere.text()]).toEqual([404, 'Not Found'])
  })

  test('a client that leaves before the handler has ended: the job is held until it has', async () => {
    const added = handOver()
    let state = ''
    const app = polka()
      .use(tasks)
      .get('/', async (req, res) => {
        const job = req.after(note, { text: 'patient' })
        added.give(job)
        await once(res, 'close')
        await everythingElseRan(runtime)
        state = job.state
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    const job = await added.job
    client.leave()
    expect((await job.settled).state).toBe('completed')
    expect(state).toBe('held')
  })
})
