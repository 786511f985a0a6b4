import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createTestRuntime, expectJob, expectNoJob } from 'aftertask/testing'
import { shop } from './app.ts'
import { chargeCard, tasks } from './tasks.ts'

// #region request
test('an order is answered at once, and its card is charged afterwards', async () => {
  await using runtime = createTestRuntime({ tasks, mode: 'manual' })
  const app = shop(runtime).listen(0, '127.0.0.1')
  await once(app.server, 'listening')
  const { port } = app.server.address() as AddressInfo

  const { status } = await fetch(`http://127.0.0.1:${port}/orders/17`, { method: 'POST' })

  assert.equal(status, 202)
  expectJob(runtime, chargeCard, { order: '17' }) // or: expectJob(runtime, 'card.charge')
  expectNoJob(runtime, chargeCard, { order: '18' })
  await runtime.drain({ scheduled: true }) // runs the job; it fails once, and a minute later it does not
  app.server.close()
})
// #endregion request

// #region perform
test('a card is not charged while the bank is asleep', async () => {
  await using runtime = createTestRuntime({ tasks })
  const { state, error, logs } = await runtime.perform(chargeCard, { order: '17' })
  assert.equal(state, 'dead') // one attempt, not tried again
  assert.equal(error?.message, 'the bank is asleep')
  assert.deepEqual(
    logs.map(({ message, data }) => [message, data]),
    [['charging', { order: '17' }]],
  )
})
// #endregion perform

// #region clock
test('a card is tried again after a minute', async () => {
  await using runtime = createTestRuntime({ tasks })
  const job = runtime.enqueue(chargeCard, { order: '17' })
  await runtime.waitFor(chargeCard, { state: 'retryable' })
  await runtime.clock.advance('1m')
  assert.deepEqual(await job.result(), { receipt: 'receipt of 17' })
})
// #endregion clock

// #region mock
test('an order is paid when its card was charged', async () => {
  await using runtime = createTestRuntime({
    tasks,
    handlers: { 'card.charge': ({ order }) => ({ receipt: `mocked ${order}` }) },
  })
  assert.equal((await runtime.enqueue(chargeCard, { order: '17' }).result()).receipt, 'mocked 17')
})
// #endregion mock
