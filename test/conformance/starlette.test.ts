/**
 * What the suite of Starlette checks about background tasks, restated for Polka over real sockets. The numbers are
 * those of the list that the cases were collected in.
 */
import { once } from 'node:events'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import polka, { type IOptions, type Polka } from 'polka'
import { describe, expect, test } from 'vitest'
import { afterResponse } from '../../src/http/polka.ts'
import { failing, note } from '../fixtures/http-tasks.ts'
import { gate, handOver, httpRuntime, nextEvent, nowOnAllThreads } from '../kit/jobs.ts'
import { get, getBytes, listenPolka, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)

function appWithTasks(options: IOptions = {}): Polka {
  return polka(options).use(tasks)
}

describe('Starlette, test_background', () => {
  test('1. an asynchronous task runs once, after its response was sent', async () => {
    const added = handOver()
    const app = appWithTasks().get('/', (req, res) => {
      const { channel, open } = gate()
      void nextEvent(runtime, 'job:progress').then(open)
      added.give(req.after('gated', { channel }))
      res.end('task initiated')
    })
    const response = await get(await listenPolka(app))
    expect(await response.text()).toBe('task initiated')
    expect(await (await added.job).settled).toMatchObject({ state: 'completed', attempts: 1 })
  })

  test('2. a synchronous task runs once, after its response was sent', async () => {
    const added = handOver<{ started: number }>()
    let finished = Number.POSITIVE_INFINITY
    const app = appWithTasks().get('/', (req, res) => {
      res.on('finish', () => {
        finished = nowOnAllThreads()
      })
      added.give(req.after(note, { text: 'once' }))
      res.end('task initiated')
    })
    const response = await get(await listenPolka(app))
    expect(await response.text()).toBe('task initiated')
    const job = await added.job
    expect((await job.result()).started).toBeGreaterThanOrEqual(finished)
    expect((await job.settled).attempts).toBe(1)
  })

  test('3. three tasks of one response all run', async () => {
    const ran: number[] = []
    const app = appWithTasks().get('/', (req, res) => {
      for (const amount of [1, 2, 3]) {
        const job = req.after(note, { text: String(amount) })
        void job.result().then((result) => ran.push(Number(result.payload.text)))
      }
      res.end('tasks initiated')
    })
    const last = nextEvent(runtime, 'job:completed', ({ result }) => textOf(result) === '3')
    expect((await get(await listenPolka(app))).status).toBe(200)
    await last
    await new Promise(setImmediate)
    expect(ran.reduce((sum, amount) => sum + amount, 0)).toBe(6)
  })

  test("4. with onFailure 'stop' a task that throws keeps the next from running, and the client has its whole response", async () => {
    const second = handOver()
    const app = polka().use(afterResponse(runtime, { onFailure: 'stop' }))
    app.get('/', (req, res) => {
      req.after(failing, { message: 'task failed' })
      second.give(req.after(note, { text: 'second' }))
      res.end('task initiated')
    })
    const dead = nextEvent(runtime, 'job:dead')
    const response = await get(await listenPolka(app))
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('task initiated')
    expect((await dead).error).toMatchObject({ name: 'RangeError', message: 'task failed' })
    expect((await (await second.job).settled).state).toBe('skipped')
  })
})

describe('Starlette, test_responses', () => {
  test('5. a streamed body is complete before the first effect of its task', async () => {
    const added = handOver<{ started: number }>()
    let finished = Number.POSITIVE_INFINITY
    const app = appWithTasks().get('/', async (req, res) => {
      added.give(req.after(note, { text: '6, 7, 8, 9' }))
      res.on('finish', () => {
        finished = nowOnAllThreads()
      })
      for (const part of ['1, ', '2, ', '3, ', '4, ']) {
        res.write(part)
        await new Promise(setImmediate)
      }
      res.end('5')
    })
    const response = await get(await listenPolka(app))
    expect(await response.text()).toBe('1, 2, 3, 4, 5')
    expect((await (await added.job).result()).started).toBeGreaterThanOrEqual(finished)
  })

  test("6. a file's body and headers are unchanged by its task, which runs", async () => {
    const added = handOver()
    const file = new URL(import.meta.url)
    const { size } = statSync(file)
    const app = appWithTasks().get('/', (req, res) => {
      added.give(req.after(note, { text: 'file' }))
      res.setHeader('Content-Length', size)
      res.setHeader('ETag', `"${size}"`)
      createReadStream(file).pipe(res)
    })
    const response = await get(await listenPolka(app))
    expect(await response.text()).toBe(readFileSync(file, 'utf8'))
    expect(response.headers.get('content-length')).toBe(String(size))
    expect(response.headers.get('etag')).toBe(`"${size}"`)
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('7. the task of a redirect runs once, for the redirect alone', async () => {
    const completed: unknown[] = []
    const onCompleted = ({ result }: { result: unknown }): void => void completed.push(textOf(result))
    runtime.on('job:completed', onCompleted)
    const added = handOver()
    const app = appWithTasks()
      .get('/from', (req, res) => {
        added.give(req.after(note, { text: 'redirected' }))
        res.writeHead(307, { location: '/to' }).end()
      })
      .get('/to', (_req, res) => void res.end('there'))
    const response = await get(await listenPolka(app), '/from')
    expect(await response.text()).toBe('there')
    await (await added.job).settled
    runtime.off('job:completed', onCompleted)
    expect(completed).toEqual(['redirected'])
  })
})

describe('Starlette, test_templates', () => {
  test.each(['text/html', 'text/html; charset=utf-8', 'application/xhtml+xml', 'text/plain'])(
    '8. a rendered response of type %s carries a task, which runs',
    async (type) => {
      const added = handOver()
      const app = appWithTasks().get('/:name', (req, res) => {
        res.setHeader('Content-Type', type)
        added.give(req.after(note, { text: req.params['name'] ?? '' }))
        res.end(`<h1>Hello, ${req.params['name']}</h1>`)
      })
      const response = await get(await listenPolka(app), '/world')
      expect(await response.text()).toBe('<h1>Hello, world</h1>')
      expect((await (await added.job).result()) as object).toMatchObject({ payload: { text: 'world' } })
    },
  )
})

describe('Starlette, middleware/test_errors', () => {
  test('9. the client sees the 204 of a response whose task throws, and the error is told once', async () => {
    const errors: Error[] = []
    const onDead = ({ error }: { error: Error }): void => void errors.push(error)
    runtime.on('job:dead', onDead)
    const reachedClientSide: unknown[] = []
    const added = handOver()
    const app = appWithTasks({ onError: (error) => void reachedClientSide.push(error) })
    app.get('/', (req, res) => {
      added.give(req.after(failing, { message: 'after the 204' }))
      res.writeHead(204).end()
    })
    const response = await get(await listenPolka(app))
    expect(response.status).toBe(204)
    await (await added.job).settled
    runtime.off('job:dead', onDead)
    expect(errors.map(({ message }) => message)).toEqual(['after the 204'])
    expect(reachedClientSide).toEqual([])
  })
})

describe('Starlette, middleware/test_base', () => {
  test('10. a task completes behind a middleware although the client leaves right after the body', async () => {
    const added = handOver()
    const app = polka()
      .use(async (_req, _res, next) => next())
      .use(tasks)
      .get('/', (req, res) => {
        added.give(req.after(note, { text: 'left' }))
        res.end('body')
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await client.received('body')
    client.leave()
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test("11. a middleware does not swallow a task's error", async () => {
    const app = polka()
      .use(async (_req, _res, next) => {
        await next()
      })
      .use(tasks)
      .get('/', (req, res) => {
        req.after(failing, { message: 'not swallowed' })
        res.end()
      })
    const dead = nextEvent(runtime, 'job:dead')
    expect((await get(await listenPolka(app))).status).toBe(200)
    expect((await dead).error.message).toBe('not swallowed')
  })

  test('12. tasks block neither responses nor the tasks of other requests', async () => {
    const gates = [gate(), gate()]
    const jobs = [
      handOver<{ started: number; ended: number }>(),
      handOver<{ started: number; ended: number }>(),
    ]
    const app = appWithTasks().get('/:which', (req, res) => {
      const which = Number(req.params['which'])
      jobs[which]?.give(req.after('gated', { channel: gates[which]?.channel ?? '' }) as never)
      res.end(`body ${which}`)
    })
    let started = 0
    const bothStarted = nextEvent(runtime, 'job:progress', () => ++started === 2)
    const port = await listenPolka(app)
    const bodies = await Promise.all([0, 1].map(async (which) => (await get(port, `/${which}`)).text()))
    expect(bodies).toEqual(['body 0', 'body 1'])
    // Neither can end before both have started: the gates open only now.
    await bothStarted
    for (const { open } of gates) open()
    const results = await Promise.all(jobs.map(async ({ job }) => (await job).result()))
    const lastStart = Math.max(...results.map((result) => result.started))
    expect(Math.min(...results.map((result) => result.ended))).toBeGreaterThan(lastStart)
  })

  test('13. what a middleware does after next() is done although the client leaves', async () => {
    const cleaned = Promise.withResolvers<string>()
    const added = handOver()
    const app = polka()
      .use(async (_req, _res, next) => {
        await next()
        cleaned.resolve('cleaned up')
      })
      .use(tasks)
      .get('/', async (req, res) => {
        added.give(req.after(note, { text: 'cleanup' }))
        res.write('part')
        await once(res, 'close')
        res.end()
      })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    await client.received('part')
    client.leave()
    expect(await cleaned.promise).toBe('cleaned up')
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('14. ten middlewares that each add a task to a request whose client has left run exactly ten', async () => {
    const completed: unknown[] = []
    const onCompleted = ({ result }: { result: unknown }): void => void completed.push(textOf(result))
    runtime.on('job:completed', onCompleted)
    const left = Promise.withResolvers<void>()
    const app = polka().use(async (req, _res, next) => {
      await once(req.socket, 'close')
      left.resolve()
      return next()
    })
    app.use(tasks)
    const jobs: Promise<unknown>[] = []
    for (let i = 0; i < 10; i++) {
      app.use((req, _res, next) => {
        jobs.push(req.after(note, { text: `middleware ${i}` }).settled)
        return next()
      })
    }
    let ends = 0
    const answered = Promise.withResolvers<void>()
    app.get('/', (_req, res) => {
      ends++
      res.end('nobody reads this')
      answered.resolve()
    })
    const client = await rawClient(await listenPolka(app))
    client.send(getBytes('/'))
    client.socket.end()
    client.leave()
    await left.promise
    await answered.promise
    await Promise.all(jobs)
    runtime.off('job:completed', onCompleted)
    expect(ends).toBe(1)
    expect(completed).toHaveLength(10)
    expect(new Set(completed)).toEqual(new Set(Array.from({ length: 10 }, (_, i) => `middleware ${i}`)))
  })

  test('15. an error that is caught and answered with 400 is answered once, and nothing is raised twice', async () => {
    const caught: unknown[] = []
    const app = appWithTasks({
      onError: (error, _req, res) => {
        caught.push(error)
        res.statusCode = 400
        res.end('caught')
      },
    })
    const added = handOver()
    app.get('/', (req) => {
      added.give(req.after(note, { text: 'never' }))
      throw new Error('downstream')
    })
    const response = await get(await listenPolka(app))
    expect(response.status).toBe(400)
    expect(await response.text()).toBe('caught')
    expect(caught).toHaveLength(1)
    expect((await (await added.job).settled).state).toBe('skipped')
  })
})

describe("Starlette, the test client's promise", () => {
  test('16. a test can wait for the tasks of a response without waiting for time', async () => {
    const added = handOver()
    const app = appWithTasks().get('/', (req, res) => {
      added.give(req.after(note, { text: 'waited for' }))
      res.end()
    })
    await get(await listenPolka(app))
    const job = await added.job
    await job.settled
    expect(job.state).toBe('completed')
    expect(runtime.stats().pending).toBe(0)
  })
})

function textOf(result: unknown): unknown {
  return (result as { payload?: { text?: string } } | undefined)?.payload?.text
}
