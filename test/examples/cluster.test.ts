/** Drives examples/cluster over HTTP, over each store that is there. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { storeServer, whyNot } from '../kit/store-servers.ts'
import { startExample } from './run-example.ts'

describe('examples/cluster', () => {
  for (const store of ['redis', 'postgres'] as const) {
    const reason = whyNot(store)
    const title = `runs what the web process takes in its worker processes, over ${store}`
    test.skipIf(reason !== undefined)(reason === undefined ? title : `${title} (${reason})`, async () => {
      const server = await storeServer(store)
      onTestFinished(() => server.dispose())
      await server.start()
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
  }
})
