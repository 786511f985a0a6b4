import type { Server } from 'node:http'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { expect, test } from 'vitest'
import { afterResponse } from '../../../src/http/frameworks/hono.ts'
import type { ResponseFacts } from '../../../src/index.ts'
import { note } from '../../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../../kit/jobs.ts'
import { get, listen } from '../../kit/serve.ts'

const runtime = httpRuntime()

function serve(app: Hono<{ Bindings: HttpBindings }>): Promise<number> {
  return listen(createAdaptorServer(app) as Server)
}

test('app.request() of Hono, which has no response of Node, is refused with what to do instead', async () => {
  const refused = Promise.withResolvers<unknown>()
  const app = new Hono()
  app.onError((error, c) => {
    refused.resolve(error)
    return c.text('refused', 500)
  })
  app.use(afterResponse(runtime)).get('/', (c) => c.text('never'))
  expect((await app.request('/')).status).toBe(500)
  expect(await refused.promise).toMatchObject({
    code: 'ERR_NO_RESPONSE',
    advice: expect.stringContaining('@hono/node-server'),
  })
})

test('without an onError of its own, Hono answers a refused payload with 400', async () => {
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.use(afterResponse(runtime)).get('/', (c) => {
    c.var.after('note', { text: 5 } as never)
    return c.text('never')
  })
  const response = await get(await serve(app))
  expect(response.status).toBe(400)
  expect(await response.text()).toContain('note')
})

test('a sub-app of Hono with an onError of its own does not hide the error', async () => {
  const { promise, resolve } = Promise.withResolvers<ResponseFacts>()
  const error = new Error('of the sub-app')
  const sub = new Hono<{ Bindings: HttpBindings }>()
  sub.onError((_error, c) => c.text('all is well', 200))
  sub.get('/', (c) => {
    const when = (facts: ResponseFacts): boolean => {
      resolve(facts)
      return true
    }
    c.var.after(note, { text: 'sub' }, { when })
    throw error
  })
  const app = new Hono<{ Bindings: HttpBindings }>().use(afterResponse(runtime)).route('/sub', sub)
  expect((await get(await serve(app as never), '/sub')).status).toBe(200)
  expect(await promise).toMatchObject({ error, statusCode: 200 })
})

test('a job waits for the end of a stream of events of Hono', async () => {
  const added = handOver()
  const states: string[] = []
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.use(afterResponse(runtime)).get('/', (c) => {
    const job = c.var.after(note, { text: 'sse' })
    added.give(job)
    return streamSSE(c, async (stream) => {
      for (const data of ['one', 'two']) {
        states.push(job.state)
        await stream.writeSSE({ data })
      }
    })
  })
  expect(await (await get(await serve(app))).text()).toContain('data: two')
  expect(states).toEqual(['held', 'held'])
  expect((await (await added.job).settled).state).toBe('completed')
})

test('c.executionCtx.waitUntil() of Hono is waited for by a stop', async () => {
  const own = httpRuntime({ pool: { threads: 1 } }, () => {})
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.use(afterResponse(own)).get('/audit', (c) => {
    c.executionCtx.waitUntil(new Promise(() => {}))
    return c.text('ok')
  })
  await get(await serve(app as never), '/audit')
  expect((await own.stop({ timeout: 1 })).unsettled).toEqual(['/audit'])
})
