import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type { HandlerContext } from 'aftertask'
import sendWelcome from '../first/workers/send-welcome.ts'

process.env.PORT = '0'
const { app, runtime } = await import('../first/server.ts')

// #region hooks
before(async () => {
  await Promise.all([runtime.ready(), once(app.server, 'listening')])
})

after(async () => {
  app.server.close()
  await runtime.stop() // or the threads would outlive the tests
})
// #endregion hooks

// #region request
test('a signup is answered at once, and its letter is rendered afterwards', async () => {
  const ended = new Promise<string>((resolve) =>
    runtime.on('job:completed', (event) => resolve(event.job.id)),
  )
  const { port } = app.server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/signup`, { method: 'POST' })
  const { job } = (await response.json()) as { job: string }
  assert.equal(response.status, 202)
  assert.equal(await ended, job)
})
// #endregion request

// #region job
test('a letter is rendered', async () => {
  const { state } = await runtime.enqueue('email.welcome', { to: 'ada@example.com' }).settled
  assert.equal(state, 'completed')
})
// #endregion job

// #region handler
test('the handler logs what it rendered', async () => {
  const lines: string[] = []
  const log = { info: (message: string) => lines.push(message) }
  await sendWelcome({ to: 'ada@example.com' }, { log } as unknown as HandlerContext)
  assert.deepEqual(lines, ['letter rendered'])
})
// #endregion handler
