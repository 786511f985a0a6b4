/** Dead jobs that start over. */
import { expect } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import type { Broker } from '../../../src/brokers/port/broker.ts'
import { Bench } from '../../../src/testing/broker-contract/bench.ts'
import { overStore, testAt } from './stores.ts'

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(place, 'a job that died before the store had it starts over like any other', async (here) => {
      const make = (): Broker => bullmqBroker({ connection: here.server.url, prefix: here.prefix })
      const bench = new Bench({ name: 'bullmq', make, survives: true })
      await bench.open()
      try {
        const job = bench.add({ batch: bench.batch(), unique: 'one' })
        bench.fail(job)
        expect(bench.told).toEqual([job])
        void bench.broker.jobs.revive(job)
        expect(bench.broker.intake.holderOf('one')).toBe(job)
        const claimed = await bench.claim()
        expect(claimed).toBe(job)
        bench.complete(claimed)
        while (bench.told.length < 2) await bench.barrier()
        expect(await bench.broker.jobs.counts()).toMatchObject({ completed: 1, dead: 0, available: 0 })
        expect(bench.told).toEqual([job, job])
      } finally {
        await bench.close()
      }
    })
  })
}
