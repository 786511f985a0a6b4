import { createServer } from 'node:http'
import { connect, createServer as createHttp2Server } from 'node:http2'
import Koa from 'koa'
import { expect, onTestFinished, test } from 'vitest'
import { afterResponse } from '../../../src/http/frameworks/koa.ts'
import { after as addJob, type Job, type ResponseFacts } from '../../../src/index.ts'
import { note } from '../../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../../kit/jobs.ts'
import { get, listen } from '../../kit/serve.ts'

const runtime = httpRuntime()

function appOf(): { app: Koa; facts: Promise<ResponseFacts>; when: (facts: ResponseFacts) => boolean } {
  const { promise, resolve } = Promise.withResolvers<ResponseFacts>()
  const app = new Koa()
  app.silent = true
  const when = (facts: ResponseFacts): boolean => {
    resolve(facts)
    return true
  }
  return { app, facts: promise, when }
}

test('behind an error middleware of Koa, what it swallows is noticed', async () => {
  const { app, facts, when } = appOf()
  const error = new Error('thrown')
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch {
      ctx.body = 'all is well'
    }
  })
  app.use(afterResponse(runtime)).use((ctx) => {
    ctx.after(note, { text: 'swallowed' }, { when })
    throw error
  })
  expect((await get(await listen(createServer(app.callback())))).status).toBe(200)
  expect(await facts).toMatchObject({ error, statusCode: 200 })
})

test('in front of an error middleware of Koa, the status alone tells', async () => {
  const { app, facts, when } = appOf()
  app.use(afterResponse(runtime)).use(async (ctx, next) => {
    try {
      await next()
    } catch {
      ctx.status = 502
    }
  })
  app.use((ctx) => {
    ctx.after(note, { text: 'caught' }, { when })
    throw new Error('thrown')
  })
  expect((await get(await listen(createServer(app.callback())))).status).toBe(502)
  expect(await facts).toMatchObject({ error: undefined, statusCode: 502 })
})

test("Koa's own error logging goes on", async () => {
  const { app } = appOf()
  const error = new Error('told to the app')
  const told = new Promise((resolve) => app.on('error', resolve))
  app.use(afterResponse(runtime)).use(() => {
    throw error
  })
  await get(await listen(createServer(app.callback())))
  expect(await told).toBe(error)
  expect(new Koa().use(afterResponse(runtime)).listenerCount('error')).toBe(0)
})

test('Koa with a context storage of its own keeps both', async () => {
  const app = new Koa({ asyncLocalStorage: true })
  const added = handOver()
  app.use(afterResponse(runtime)).use(async (ctx) => {
    await new Promise(setImmediate)
    added.give(addJob(note, { text: 'two storages' }) as Job)
    ctx.body = String(app.currentContext === ctx)
  })
  expect(await (await get(await listen(createServer(app.callback())))).text()).toBe('true')
  expect((await (await added.job).settled).state).toBe('completed')
})

test('Koa over HTTP/2 takes jobs', async () => {
  const { app } = appOf()
  const added = handOver()
  app.use(afterResponse(runtime)).use((ctx) => {
    added.give(ctx.after(note, { text: 'http2' }))
    ctx.body = 'ok'
  })
  const port = await listen(createHttp2Server(app.callback() as never))
  const client = connect(`http://127.0.0.1:${port}`)
  onTestFinished(() => client.destroy())
  client.request({ ':path': '/' }).resume()
  expect((await (await added.job).settled).state).toBe('completed')
})
