import { connect } from 'node:http2'
import Fastify, { type FastifyInstance } from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import aftertask from '../../../src/http/frameworks/fastify.ts'
import { after as addJob, createRuntime, type Job, type ResponseFacts } from '../../../src/index.ts'
import { note } from '../../fixtures/http-tasks.ts'
import { handOver, httpRuntime } from '../../kit/jobs.ts'

const runtime = httpRuntime()

async function withPlugin(app = Fastify()): Promise<FastifyInstance> {
  onTestFinished(async () => {
    await app.close()
  })
  await app.register(aftertask, { runtime, stopTimeout: false })
  return app
}

/** The facts of one job, which runs whatever they are. */
function facts(): { when: (seen: ResponseFacts) => boolean; seen: Promise<ResponseFacts> } {
  const { promise, resolve } = Promise.withResolvers<ResponseFacts>()
  const when = (seen: ResponseFacts): boolean => {
    resolve(seen)
    return true
  }
  return { when, seen: promise }
}

test('app.inject() of Fastify runs jobs as a socket does', async () => {
  const app = await withPlugin()
  const added = handOver()
  app.get('/', async (request) => {
    added.give(request.after(note, { text: 'injected' }))
    return 'ok'
  })
  expect((await app.inject('/')).statusCode).toBe(200)
  expect((await (await added.job).settled).state).toBe('completed')
})

test('a request that does not fit the schema of its Fastify route has failed', async () => {
  const app = await withPlugin()
  const { when, seen } = facts()
  app.addHook('preValidation', async (request) => {
    request.after(note, { text: 'validated' }, { when })
  })
  const querystring = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
  app.get('/', { schema: { querystring } }, async () => 'ok')
  expect((await app.inject('/?n=many')).statusCode).toBe(400)
  expect(await seen).toMatchObject({ statusCode: 400, error: { code: 'FST_ERR_VALIDATION' } })
})

test('an error handler of Fastify that answers with 200 does not hide the error', async () => {
  const app = await withPlugin()
  const { when, seen } = facts()
  const error = new Error('thrown')
  app.setErrorHandler((_error, _request, reply) => reply.code(200).send('all is well'))
  app.get('/', async (request) => {
    request.after(note, { text: 'hidden' }, { when })
    throw error
  })
  expect((await app.inject('/')).statusCode).toBe(200)
  expect(await seen).toMatchObject({ statusCode: 200, error })
})

test('a handler of Fastify that sends by callback holds its jobs until then', async () => {
  const app = await withPlugin()
  const added = handOver()
  app.get('/', (request, reply) => {
    const job = request.after(note, { text: 'callback' })
    added.give(job)
    setImmediate(() => reply.send(job.state))
  })
  expect((await app.inject('/')).body).toBe('held')
  expect((await (await added.job).settled).state).toBe('completed')
})

test('hooks and handlers of Fastify find the request through after()', async () => {
  const app = await withPlugin()
  const jobs: Job[] = []
  app.addHook('preHandler', async () => {
    jobs.push(addJob(note, { text: 'hook' }))
  })
  app.get('/', async () => {
    await new Promise(setImmediate)
    jobs.push(addJob(note, { text: 'handler' }))
    return 'ok'
  })
  await app.inject('/')
  expect(await Promise.all(jobs.map(async (job) => (await job.settled).state))).toEqual([
    'completed',
    'completed',
  ])
})

test('a plugin of Fastify that is registered in a scope of its own shares the request', async () => {
  const app = await withPlugin()
  const added = handOver()
  await app.register(async (scope) => {
    scope.get('/scoped', async (request) => {
      added.give(request.after(note, { text: 'scoped' }))
      return 'ok'
    })
  })
  await app.inject('/scoped')
  expect((await (await added.job).settled).state).toBe('completed')
})

test('Fastify over HTTP/2 takes jobs', async () => {
  const app = Fastify({ http2: true })
  await app.register(aftertask, { runtime, stopTimeout: false })
  onTestFinished(async () => {
    await app.close()
  })
  const added = handOver()
  app.get('/', async (request) => {
    added.give(request.after(note, { text: 'http2' }))
    return 'ok'
  })
  const client = connect(await app.listen({ port: 0, host: '127.0.0.1' }))
  client.request({ ':path': '/' }).resume()
  expect((await (await added.job).settled).state).toBe('completed')
  client.destroy()
})

test('app.close() of Fastify stops the runtime, once its jobs are done', async () => {
  const own = createRuntime({ tasks: [note], pool: { threads: 1 }, log: false })
  const app = Fastify()
  app.register(aftertask, { runtime: own })
  const added = handOver()
  app.get('/', async (request) => {
    added.give(request.after(note, { text: 'last' }))
    return 'ok'
  })
  await app.inject('/')
  await app.close()
  expect((await added.job).state).toBe('completed')
  expect(() => own.enqueue(note, { text: 'too late' })).toThrow(
    expect.objectContaining({ code: 'ERR_RUNTIME_STOPPED' }),
  )
})

test('the plugin of Fastify makes the runtime from its options', async () => {
  const app = Fastify()
  app.register(aftertask, { runtime: { tasks: [note], pool: { threads: 1 }, log: false } })
  await app.ready()
  expect(app.aftertask.tasks).toEqual([note])
  await app.close()
})

test.each([
  [{}, 'runtime'],
  [{ runtime, order: 'sideways' }, 'order'],
  [{ runtime, stopTimeout: 'soon' }, 'stopTimeout'],
])('the plugin of Fastify refuses the options %#', async (options, path) => {
  const app = Fastify()
  app.register(aftertask, options as never)
  await expect(app.ready().then(() => {})).rejects.toMatchObject({
    code: 'ERR_OPTIONS_INVALID',
    path: expect.stringContaining(path),
  })
})
