/** The order in which fetched jobs come to the threads, when several answers of the store come at once. */
import { setImmediate } from 'node:timers/promises'
import { expect } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import type { Broker } from '../../../src/brokers/port/broker.ts'
import { Bench } from '../../../src/testing/broker-contract/bench.ts'
import { overStore, testAt } from './stores.ts'

overStore('redis', (place) => {
  testAt(
    place,
    'jobs that come at once, some fetched and some with the end of another, run in the order added',
    async ({ server, prefix }) => {
      const make = (): Broker => bullmqBroker({ connection: server.url, prefix })
      const bench = new Bench({ name: 'bullmq', make, survives: true })
      await bench.open()
      try {
        const jobs = bench.addAll(6)
        const first = await bench.claim()
        // Two more are being fetched already, and another is to come with this end: the store hears of both at once.
        server.hang()
        bench.complete(first)
        for (let turn = 0; turn < 5; turn++) await setImmediate()
        server.goOn()
        expect([first, ...(await bench.runAll(5))]).toEqual(jobs)
      } finally {
        server.goOn()
        await bench.close()
      }
    },
  )
})
