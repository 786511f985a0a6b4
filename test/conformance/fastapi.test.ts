/**
 * What the suite of FastAPI checks about background tasks, restated for Polka over real sockets: its dependencies are
 * our middlewares. The numbers are those of the list that the cases were collected in.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import polka, { type Middleware } from 'polka'
import { afterAll, describe, expect, test } from 'vitest'
import { afterResponse } from '../../src/http/polka.ts'
import type { Job } from '../../src/index.ts'
import { append, note } from '../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../kit/jobs.ts'
import { get, listenPolka } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)
const folder = mkdtempSync(join(tmpdir(), 'aftertask-fastapi-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0
const newFile = (): string => join(folder, `log-${files++}.txt`)

const notification = JSON.stringify({ message: 'Notification sent in the background' })

describe('FastAPI, tutorial background_tasks', () => {
  test('17. a notification is answered with 200 and a message, and its line is in the log afterwards', async () => {
    const file = newFile()
    const added = handOver()
    const app = polka()
      .use(tasks)
      .post('/send-notification/:email', (req, res) => {
        const line = `notification for ${req.params['email']}: some notification`
        added.give(req.after(append, { file, line }))
        res.setHeader('Content-Type', 'application/json').end(notification)
      })
    const port = await listenPolka(app)
    const response = await get(port, '/send-notification/foo@example.com', { method: 'POST' })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual(JSON.parse(notification))
    await (await added.job).settled
    expect(readFileSync(file, 'utf8')).toBe('notification for foo@example.com: some notification\n')
  })

  test.each([
    [
      '18. what a dependency and the handler add is in the log in that order',
      '?q=some-query',
      ['found query: some-query'],
    ],
    ['19. without a query only what the handler adds is in the log', '', []],
  ])('%s', async (_sentence, query, fromDependency) => {
    const file = newFile()
    const added = handOver()
    const findQuery: Middleware = (req, _res, next) => {
      if (req.query['q'] !== undefined) req.after(append, { file, line: `found query: ${req.query['q']}` })
      return next()
    }
    const app = polka()
      .use(tasks)
      .post('/send-notification/:email', findQuery, (req, res) => {
        added.give(req.after(append, { file, line: `message to ${req.params['email']}` }))
        res.setHeader('Content-Type', 'application/json').end(notification)
      })
    const port = await listenPolka(app)
    const response = await get(port, `/send-notification/foo@example.com${query}`, { method: 'POST' })
    expect(response.status).toBe(200)
    await (await added.job).settled
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines).toEqual([...fromDependency, 'message to foo@example.com'])
  })
})

describe('FastAPI, test_response_dependency', () => {
  test('20. tasks that a dependency and the endpoint add to one request both run', async () => {
    const jobs: Job[] = []
    const app = polka()
      .use(tasks)
      .use((req, _res, next) => {
        jobs.push(req.after(note, { text: 'dependency' }))
        return next()
      })
      .get('/', (req, res) => {
        jobs.push(req.after(note, { text: 'endpoint' }))
        res.end()
      })
    expect((await get(await listenPolka(app))).status).toBe(200)
    const settled = await Promise.all(jobs.map((job) => job.settled))
    expect(settled.map(({ state }) => state)).toEqual(['completed', 'completed'])
  })
})

describe('FastAPI, test_dependency_contextmanager', () => {
  /** Dependencies with a beginning and an end, `b` inside `a`, and an endpoint that tells how far everything is. */
  function app(isAsync: boolean): {
    app: ReturnType<typeof polka>
    state: Record<string, string>
    job: Promise<Job>
  } {
    const state: Record<string, string> = { a: 'not started', b: 'not started' }
    const added = handOver()
    const pause = (): Promise<void> | undefined => (isAsync ? new Promise(setImmediate) : undefined)
    const dependency =
      (name: string, nested: string | undefined): Middleware =>
      async (_req, _res, next) => {
        if (isAsync) await pause()
        state[name] =
          nested === undefined ? `started ${name}` : `started ${name} - ${nested}: ${state[nested]}`
        await next()
        state[name] = `finished ${name}`
      }
    const routes = polka()
      .use(tasks, dependency('a', undefined), dependency('b', 'a'))
      .get('/', (req, res) => {
        const job = req.after(note, { text: `b: ${state['b']}` })
        res.setHeader('X-Task', job.state)
        added.give(job)
        res.end(JSON.stringify({ task: job.state, ...state }))
      })
    return { app: routes, state, job: added.job }
  }

  test.each([
    ['21. asynchronous', true],
    ['22. synchronous', false],
  ])(
    '%s dependencies: no task has run when head and body are written; it has what they held then; they are finished in the end',
    async (_name, isAsync) => {
      const { app: routes, state, job } = app(isAsync)
      const response = await get(await listenPolka(routes))
      expect(response.headers.get('x-task')).toBe('held')
      expect(await response.json()).toEqual({ task: 'held', a: 'started a', b: 'started b - a: started a' })
      const settled = await (await job).settled
      expect(settled.result).toMatchObject({ payload: { text: 'b: started b - a: started a' } })
      expect(state).toEqual({ a: 'finished a', b: 'finished b' })
    },
  )
})

describe('FastAPI, test_frontend', () => {
  test('23. an app-wide dependency sets header, cookie and task of a static file, and the task runs once', async () => {
    const file = newFile()
    writeFileSync(file, '<h1>static</h1>')
    const jobs: Job[] = []
    const app = polka()
      .use(tasks)
      .use((req, res, next) => {
        res.setHeader('X-Dependency', 'app-wide')
        res.setHeader('Set-Cookie', 'visited=yes')
        jobs.push(req.after(note, { text: req.originalUrl }))
        return next()
      })
      .get('/page.html', (_req, res) => void res.end(readFileSync(file)))
    const response = await get(await listenPolka(app), '/page.html')
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('<h1>static</h1>')
    expect(response.headers.get('x-dependency')).toBe('app-wide')
    expect(response.headers.get('set-cookie')).toBe('visited=yes')
    expect(jobs).toHaveLength(1)
    expect(await jobs[0]?.settled).toMatchObject({ state: 'completed', attempts: 1 })
  })
})
