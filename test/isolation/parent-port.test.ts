/** The channel that a thread was started with: Node, loaders and agents post there, handlers may not. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startThreads } from '../kit/threads.ts'
import { WrittenHandlers } from '../kit/written-handlers.ts'

const post = `import { parentPort } from 'node:worker_threads'; const post = (value) => parentPort.postMessage(value)`

test('a module that posts on parentPort while it is imported is loaded', async () => {
  const handlers = new WrittenHandlers()
  const source = `${post}; for (let i = 0; i < 5000; i++) post({ i }); parentPort.close(); export default () => 'loaded'`
  const runtime = startThreads([handlers.task('posts', source)])
  await runtime.ready()
  expect(await runtime.enqueue('posts').result()).toBe('loaded')
})

test('an agent that posts on parentPort for what a handler does costs the handler nothing', async () => {
  const handlers = new WrittenHandlers()
  handlers.write(
    'node_modules/agent/package.json',
    '{ "name": "agent", "type": "module", "exports": "./index.js" }',
  )
  handlers.write(
    'node_modules/agent/index.js',
    `${post}
     const { stringify } = JSON
     globalThis.traced = (value) => { post({ span: stringify(value) }); return value }
     setInterval(() => post({ metrics: 1 }), 1).unref()`,
  )
  const task = handlers.task('traced', `import 'agent'; export default (payload) => traced(payload)`)
  const runtime = startThreads([task])
  expect(await runtime.enqueue(task, 'seen').settled).toMatchObject({ state: 'completed', result: 'seen' })
})

test('a preload that posts on parentPort, at once and later, keeps no thread from starting', async () => {
  const handlers = new WrittenHandlers()
  const preload = join(handlers.folder, 'preload.mjs')
  writeFileSync(
    preload,
    `${post}; if (parentPort) { post('up'); setInterval(() => post('alive'), 1).unref() }`,
  )
  const task = handlers.task('plain', 'export default (payload) => payload')
  const runtime = startThreads([task], { pool: { threads: 1, execArgv: ['--import', preload] } })
  await runtime.ready()
  expect(await runtime.enqueue(task, 'fine').result()).toBe('fine')
})

test('what a module posts on parentPort by the thousand does not reach the event loop', async () => {
  const handlers = new WrittenHandlers()
  const source = `${post}
    let posted = 0
    export default async () => {
      const module = await new Promise((resolve) => ready.then(resolve))
      return module
    }
    const ready = new Promise((resolve) => setTimeout(() => {
      for (; posted < 200_000; posted++) post({ posted })
      resolve(posted)
    }))`
  const runtime = startThreads([handlers.task('floods', source)])
  let turns = 0
  const tick = setInterval(() => turns++, 1)
  expect(await runtime.enqueue('floods').result()).toBe(200_000)
  clearInterval(tick)
  expect(turns).toBeGreaterThan(0)
})
