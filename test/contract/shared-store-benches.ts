/** The shared stores that are put to the test: servers, and the model of the simulation. */
import { randomUUID } from 'node:crypto'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { describe, test } from 'vitest'
import { readBullmqOptions } from '../../src/brokers/bullmq/options.ts'
import { PostgresStore } from '../../src/brokers/bullmq/store/postgres/postgres-store.ts'
import { RedisStore } from '../../src/brokers/bullmq/store/redis/redis-store.ts'
import type { SharedStore } from '../../src/brokers/bullmq/store/shared-store.ts'
import { systemClock } from '../../src/words/clock.ts'
import { type StoreName, storeServer, whyNot } from '../kit/store-servers.ts'
import { ModelClient } from '../simulation/cluster/model-client.ts'
import { SimServer } from '../simulation/cluster/sim-server.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { type SharedStoreBench, type StoreOptions, sharedStoreContract } from './shared-store-contract.ts'

const RECHECK = 5000

/** Holds a store over a server to the contract, or says why not. */
export function serverContract(name: StoreName): void {
  const reason = whyNot(name)
  if (reason === undefined) return sharedStoreContract(`over ${name}`, () => serverBench(name))
  describe(`the shared store over ${name}`, () => {
    test.skip(reason, () => {})
  })
}

async function serverBench(name: StoreName): Promise<SharedStoreBench> {
  const server = await storeServer(name)
  await server.start()
  const prefix = `c${randomUUID().slice(0, 8)}`
  return {
    elapse: async (milliseconds) => setTimeout(milliseconds),
    now: () => performance.now(),
    close: () => server.dispose(),
    open: async ({ place, lease, queues, topics, onMessage }) => {
      const own = { connection: server.url, prefix: `${prefix}${place}` }
      const settings = { ...readBullmqOptions(own), lease }
      const store = settings.store === 'postgres' ? new PostgresStore(settings) : new RedisStore(settings)
      const events = { up() {}, down() {}, message: onMessage }
      const retention = { count: 1000, age: 3_600_000 }
      await store.open({ clock: systemClock, events, topics, queues, retention, recheck: RECHECK })
      return store
    },
  }
}

/** The model, over connections that keep the order or do not. Its time runs as fast as it can. */
export async function modelBench(isOrdered: boolean): Promise<SharedStoreBench> {
  const clock = new VirtualClock(0, Date.now())
  const servers = new Map<string, SimServer>()
  let isOpen = true
  const run = async (): Promise<void> => {
    for (; isOpen; await setImmediate()) {
      for (let next = clock.next(); next < Number.POSITIVE_INFINITY; next = clock.next()) {
        clock.moveTo(next)
        clock.step()
        await setImmediate()
      }
    }
  }
  const running = run()
  const open = async ({ place, lease, queues, topics, onMessage }: StoreOptions): Promise<SharedStore> => {
    const server =
      servers.get(`${place} ${lease}`) ?? new SimServer(clock, { lease, retention: { count: 1000 } })
    servers.set(`${place} ${lease}`, server)
    const parts = {
      server,
      clock,
      toLocal: (moment: number) => moment,
      latency: () => 0.1,
      random: Math.random,
    }
    const client = new ModelClient({ ...parts, isOrdered })
    const events = { up() {}, down() {}, message: onMessage }
    await client.open({
      clock,
      events,
      topics,
      queues,
      retention: { count: 1000, age: 3_600_000 },
      recheck: RECHECK,
    })
    return client
  }
  return {
    open,
    now: () => clock.now(),
    elapse: (milliseconds) => new Promise((resolve) => void clock.timer(milliseconds, resolve)),
    close: async () => {
      isOpen = false
      await running
    },
  }
}
