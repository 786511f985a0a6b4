import { createServer } from 'node:http'
import { H3, HTTPError, type Middleware } from 'h3'
import { toNodeHandler } from 'h3/node'
import { expect, test } from 'vitest'
import { afterResponse, nitroPlugin } from '../../../src/http/frameworks/h3.ts'
import { createRuntime, type ResponseFacts } from '../../../src/index.ts'
import { note } from '../../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../../kit/jobs.ts'
import { get, listen } from '../../kit/serve.ts'

const runtime = httpRuntime()

test('app.request() of h3, which has no response of Node, is refused with what to do instead', async () => {
  const refused = Promise.withResolvers<unknown>()
  const app = new H3({ silent: true, onError: (error) => refused.resolve(error.cause) })
  app.use(afterResponse(runtime)).get('/', () => 'never')
  expect((await app.request('/')).status).toBe(500)
  expect(await refused.promise).toMatchObject({
    code: 'ERR_NO_RESPONSE',
    advice: expect.stringContaining('serve(app)'),
  })
})

test('an error that a handler of h3 returns is noticed as one that it throws', async () => {
  const { promise, resolve } = Promise.withResolvers<ResponseFacts>()
  const error = new HTTPError({ status: 418, message: 'a teapot' })
  const app = new H3({ silent: true })
  app.use(afterResponse(runtime)).get('/', (event) => {
    const when = (facts: ResponseFacts): boolean => {
      resolve(facts)
      return true
    }
    event.context.after(note, { text: 'returned' }, { when })
    return error
  })
  expect((await get(await listen(createServer(toNodeHandler(app))))).status).toBe(418)
  expect(await promise).toMatchObject({ error, statusCode: 418 })
})

test('the plugin for Nitro gives events after, and stops the runtime when Nitro closes', async () => {
  const own = createRuntime({ tasks: [note], pool: { threads: 1 }, log: false })
  const h3 = new H3({ silent: true })
  const closing: (() => void | Promise<void>)[] = []
  nitroPlugin(own)({ h3, hooks: { hook: (_name, callback) => void closing.push(callback) } })
  const added = handOver()
  h3.get('/', (event) => {
    added.give(event.context.after(note, { text: 'nitro' }))
    return 'ok'
  })
  await get(await listen(createServer(toNodeHandler(h3))))
  for (const close of closing) await close()
  expect((await added.job).state).toBe('completed')
  expect(() => own.enqueue(note, { text: 'x' })).toThrow(
    expect.objectContaining({ code: 'ERR_RUNTIME_STOPPED' }),
  )
})

test('the plugin for Nitro 3.0.0, which asks its h3 for the middlewares of a request, comes before the others', async () => {
  const other = (): string => 'another middleware'
  const nitroApp = { _h3: { _getMiddleware: () => [other] as Middleware[] }, hooks: { hook: () => {} } }
  nitroPlugin(runtime, { stopTimeout: false })(nitroApp)
  const [own = other, ...others] = nitroApp._h3._getMiddleware()
  expect(others).toEqual([other])
  const added = handOver()
  const app = new H3({ silent: true }).use(own)
  app.get('/', (event) => {
    added.give(event.context.after(note, { text: 'nitro 3.0.0' }))
    return 'ok'
  })
  await get(await listen(createServer(toNodeHandler(app))))
  expect(await (await added.job).settled).toMatchObject({ state: 'completed' })
})

test('the plugin for Nitro refuses an app in which it finds no h3', () => {
  expect(() => nitroPlugin(runtime)({ hooks: { hook: () => {} } })).toThrow(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'nitroApp' }),
  )
})

test('the plugin for Nitro refuses a stopTimeout that is no time', () => {
  expect(() => nitroPlugin(runtime, { stopTimeout: -1 })).toThrow(
    expect.objectContaining({ code: 'ERR_OPTIONS_INVALID', path: 'option stopTimeout' }),
  )
})
