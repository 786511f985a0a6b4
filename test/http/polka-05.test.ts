import { once } from 'node:events'
import polka from 'polka-05'
import { describe, expect, test } from 'vitest'
import { afterResponse } from '../../src/http/polka.ts'
import type { Job } from '../../src/index.ts'
import { note } from '../fixtures/http-tasks.ts'
import { everythingElseRan, handOver, httpRuntime } from '../kit/jobs.ts'
import { get, getBytes, listenPolka, rawClient } from '../kit/serve.ts'

const runtime = httpRuntime()
const tasks = afterResponse(runtime)

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

  test('an error that a middleware catches and answers is none for the request', async () => {
    const added = handOver()
    const app = polka()
      .use(tasks)
      .use(async (_req, res, next) => {
        try {
          await next()
        } catch {
          res.statusCode = 400
          res.end('caught')
        }
      })
      .get('/', async (req) => {
        added.give(req.after(note, { text: 'runs' }))
        await new Promise(setImmediate)
        throw new Error('caught by a middleware')
      })
    expect((await get(await listenPolka(app))).status).toBe(400)
    expect((await (await added.job).settled).state).toBe('completed')
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
