/** Drives examples/cluster over HTTP, and the function of examples/recipes/serverless.ts, over each store that is there. */
import { createRuntime } from 'aftertask'
import { bullmqBroker } from 'aftertask/bullmq'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { reportFailure, sendWelcome } from '../../examples/frameworks/tasks.ts'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { startExample } from './run-example.ts'

for (const store of ['redis', 'postgres'] as const) {
  const reason = whyNot(store)
  const over = reason === undefined ? `over ${store}` : `over ${store} (${reason})`

  describe.skipIf(reason !== undefined)(over, () => {
    let server: StoreServer
    beforeAll(async () => {
      server = await storeServer(store)
      await server.start()
    })
    afterAll(() => server.dispose())

    test(`examples/cluster runs what the web process takes in its worker processes, ${over}`, async () => {
      const cluster = await startExample('cluster', { AFTERTASK_STORE: server.url })
      const added = await fetch(`${cluster.url}/primes/100000`, { method: 'POST' })
      expect(added.status).toBe(202)
      const { job } = (await added.json()) as { job: string }
      let info: { state?: string; result?: { primes: number } } = {}
      while (info.state !== 'completed') {
        info = (await (await fetch(`${cluster.url}/jobs/${job}`)).json()) as typeof info
      }
      expect(info.result?.primes).toBe(9592)
      expect(await cluster.end('SIGTERM')).toBe(0)
    })

    if (store === 'redis')
      test('a serverless function has stored its job when it answers, and a worker elsewhere runs it', async () => {
        vi.stubEnv('AFTERTASK_STORE', server.url)
        const { handler, runtime } = await import('../../examples/recipes/serverless.ts')
        onTestFinished(async () => void (await runtime.stop()))
        expect(await handler({ body: '{"to":"nobody"}' })).toMatchObject({ statusCode: 400 })
        const { statusCode, body } = await handler({ body: '{"to":"a@b.dev"}' })
        expect(statusCode).toBe(202)
        const broker = bullmqBroker({ connection: server.url, role: 'worker' })
        const worker = createRuntime({ tasks: [sendWelcome, reportFailure], broker })
        onTestFinished(async () => void (await worker.stop()))
        const { promise, resolve } = Promise.withResolvers<string>()
        worker.on('job:completed', ({ job }) => resolve(job.id))
        expect(await promise).toBe((JSON.parse(body) as { job: string }).job)
      })
  })
}
