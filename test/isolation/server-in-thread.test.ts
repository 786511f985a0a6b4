/** Handlers that import what belongs to the server. */
import { expect, test } from 'vitest'
import { HandlerNotFoundError } from '../../src/words/errors.ts'
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

test('a handler that imports a module which starts the server fails ready() with what to do', async () => {
  const handlers = new WrittenHandlers()
  const calls = Object.keys(servers)
  const bad = calls.map((call) => {
    handlers.write(`server-${call}.mjs`, servers[call] ?? '')
    return handlers.task(call, `import './server-${call}.mjs'; export default () => {}`)
  })
  const good = handlers.task('good', 'export default (payload) => payload')
  const runtime = startThreads([...bad, good])
  const started: unknown[] = []
  runtime.on('thread:started', (event) => started.push(event))
  const error = await runtime.ready().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(HandlerNotFoundError)
  const { problems } = error as HandlerNotFoundError
  expect(problems.map(({ task: name }) => name)).toEqual(calls)
  for (const { task: call, message, cause } of problems) {
    expect(cause).toMatchObject({ code: 'ERR_INSIDE_THREAD', name: 'InsideThreadError' })
    expect(message).toContain(`${call} was called in a worker thread`)
    expect(message).toContain(`the handler of "${call}"`)
    expect(message).toContain(`${call}.mjs`)
    expect(message).toContain('import type')
    expect(message).toContain('ctx.enqueue()')
  }
  expect(started).toHaveLength(1)
  expect(await failureOf(runtime.enqueue('createRuntime'))).toMatchObject({ code: 'ERR_HANDLER_NOT_FOUND' })
  expect(await runtime.enqueue(good, 'fine').result()).toBe('fine')
})

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
