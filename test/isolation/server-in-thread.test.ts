/** Handlers that import what belongs to the server. */
import { expect, test } from 'vitest'
import { failureOf, startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const url = (file: string): string => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href)
const main = `import { after, createRuntime, defineTask, shutdown } from ${url('index.ts')}`
const task = `const task = defineTask({ name: 'x', handler: new URL('./x.mjs', import.meta.url) })`

const servers: Record<string, string> = {
  createRuntime: `${main}; ${task}; export const runtime = createRuntime({ tasks: [task] })`,
  sqliteBroker: `import { sqliteBroker } from ${url('brokers/sqlite.ts')}; sqliteBroker({ file: 'never.db' })`,
  bullmqBroker: `import { bullmqBroker } from ${url('brokers/bullmq.ts')}; bullmqBroker({ connection: 'redis://127.0.0.1:1' })`,
  shutdown: `${main}; import { createServer } from 'node:http'; shutdown(createServer(), {})`,
  afterResponse: `${main}; import { afterResponse } from ${url('http/index.ts')}; ${task}; afterResponse({ tasks: [task] })`,
  after: `${main}; after('x')`,
  listen: `import { createServer } from 'node:http'; createServer().listen(4999, '127.0.0.1')`,
}

test.each(Object.keys(servers))(
  'a handler that imports a module which calls %s fails ready() with what to do',
  async (call) => {
    const handlers = new WrittenHandlers()
    handlers.write('server.mjs', servers[call] ?? '')
    const bad = handlers.task('bad', `import './server.mjs'; export default () => {}`)
    const good = handlers.task('good', 'export default (payload) => payload')
    const runtime = startThreads([bad, good], { pool: { threads: 2 } })
    const started: unknown[] = []
    runtime.on('thread:started', (event) => started.push(event))
    const error = await runtime.ready().catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_HANDLER_NOT_FOUND',
      cause: { code: 'ERR_INSIDE_THREAD', name: 'InsideThreadError' },
      problems: [{ task: 'bad' }],
    })
    const { message } = error as Error
    expect(message).toContain(`${call} was called in a worker thread`)
    expect(message).toContain('the handler of "bad"')
    expect(message).toContain('bad.mjs')
    expect(message).toContain('import type')
    expect(message).toContain('ctx.enqueue()')
    expect(await failureOf(runtime.enqueue(bad))).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
    expect(await runtime.enqueue(good, 'fine').result()).toBe('fine')
  },
)

test('a handler that makes a runtime while it runs fails with what to do', async () => {
  const handlers = new WrittenHandlers()
  const source = `${main}; ${task}; export default () => { createRuntime({ tasks: [task] }) }`
  const runtime = startThreads([handlers.task('makes', source)])
  expect(await failureOf(runtime.enqueue('makes'))).toMatchObject({
    code: 'ERR_INSIDE_THREAD',
    message: expect.stringContaining('by the handler of "makes"'),
  })
})

test('a handler that makes a runtime in a turn of its own accord starts no thread', async () => {
  const handlers = new WrittenHandlers()
  const source = `${main}; ${task}; setTimeout(() => createRuntime({ tasks: [task] }), 1); export default () => {}`
  const runtime = startThreads([handlers.task('later', source)])
  await expect(runtime.ready()).rejects.toMatchObject({ cause: { code: 'ERR_INSIDE_THREAD' } })
})

test('a handler may import tasks, and open a server for itself while it runs', async () => {
  const handlers = new WrittenHandlers()
  const source = `
    ${main}; ${task}
    import { createServer } from 'node:http'
    import { once } from 'node:events'
    const any = createServer().listen(0, '127.0.0.1')
    await once(any, 'listening'); any.close()
    export default async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address()
      server.close()
      return [port > 0, task.name]
    }`
  const runtime = startThreads([handlers.task('listens', source)])
  await runtime.ready()
  expect(await runtime.enqueue('listens').result()).toEqual([true, 'x'])
})
