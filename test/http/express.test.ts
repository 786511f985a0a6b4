import { createServer } from 'node:http'
import express, { type ErrorRequestHandler } from 'express'
import { describe, expect, test } from 'vitest'
import { afterResponse } from '../../src/http/index.ts'
import type { Job } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { everythingElseRan, handOver, httpRuntime } from '../kit/jobs.ts'
import { get, getBytes, listen, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)
const answer400: ErrorRequestHandler = (_error, _req, res, _next) => {
  res.status(400).send('handled')
}

describe('Express 5', () => {
  test('a job runs after the response', async () => {
    const added = handOver()
    const app = express()
      .use(tasks)
      .get('/', (req, res) => {
        const job = req.after(note, { text: 'express' })
        added.give(job)
        res.json({ state: job.state })
      })
    expect(await (await get(await listen(createServer(app)))).json()).toEqual({ state: 'held' })
    expect((await (await added.job).settled).state).toBe('completed')
  })

  test('a router and a mounted app add to the batch of the request', async () => {
    const jobs: Job[] = []
    const add =
      (text: string): express.RequestHandler =>
      (req, _res, next) => {
        jobs.push(req.after(note, { text }))
        next()
      }
    const sub = express().use(tasks, add('mounted app'))
    sub.get('/deep', (_req, res) => void res.send('deep'))
    const app = express()
      .use(tasks, add('app'))
      .use('/sub', express.Router().use(add('router')), sub)
    await get(await listen(createServer(app)), '/sub/deep')
    const settled = await Promise.all(jobs.map((job) => job.settled))
    expect(settled.map(({ state }) => state)).toEqual(['completed', 'completed', 'completed'])
  })

  test.each<[string, express.RequestHandler]>([
    [
      'thrown',
      () => {
        throw new Error('sync')
      },
    ],
    ['rejected', () => Promise.reject(new Error('async'))],
    ['given to next', (_req, _res, next) => next(new Error('next'))],
  ])(
    'with onError behind the routes, an error that is %s makes the request fail whatever the status',
    async (_how, answer) => {
      const added = handOver()
      const app = express().use(tasks)
      app.get('/', (req, _res, next) => {
        added.give(req.after(note, { text: 'never' }))
        next()
      })
      app.get('/', answer)
      app.use(tasks.onError(), answer400)
      expect((await get(await listen(createServer(app)))).status).toBe(400)
      expect((await (await added.job).settled).state).toBe('skipped')
    },
  )

  test("onError takes a handler of one's own", async () => {
    const added = handOver()
    const app = express().use(tasks)
    app.get('/', (req) => {
      added.give(req.after(note, { text: 'never' }))
      throw new Error('own handler')
    })
    app.use(tasks.onError(answer400))
    expect(await (await get(await listen(createServer(app)))).text()).toBe('handled')
    expect((await (await added.job).settled).state).toBe('skipped')
  })

  test("an error that Express itself answers with 500 makes the request fail, without anybody's help", async () => {
    const added = handOver()
    const app = express().set('env', 'test').use(tasks)
    app.get('/', (req) => {
      added.give(req.after(note, { text: 'never' }))
      throw new Error('answered by Express')
    })
    expect((await get(await listen(createServer(app)))).status).toBe(500)
    expect((await (await added.job).settled).state).toBe('skipped')
  })

  test('a client that leaves before the handler calls end(): the job is held until it does', async () => {
    const added = handOver()
    let state = ''
    const app = express().use(tasks)
    app.get('/', (req, res) => {
      const job = req.after(note, { text: 'patient' })
      added.give(job)
      res.on('close', async () => {
        await everythingElseRan(runtime)
        state = job.state
        res.send('nobody reads this')
      })
    })
    const client = await rawClient(await listen(createServer(app)))
    client.send(getBytes('/'))
    const job = await added.job
    client.leave()
    expect((await job.settled).state).toBe('completed')
    expect(state).toBe('held')
  })
})
