/** Runs the same tests over each store that is there. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { type BullmqOptions, bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime, type Runtime } from '../../../src/engine/runtime.ts'
import type { RuntimeOptions } from '../../../src/engine/runtime-options.ts'
import { playSteadily } from '../../kit/steady.ts'
import { type StoreServer, storeServer, whyNot } from '../../kit/store-servers.ts'
import * as tasks from './fixture/tasks.ts'

type TestTask = typeof tasks.trail | typeof tasks.telling | typeof tasks.inOrder | typeof tasks.clinging

/** A store and what is made over it. */
export interface Place {
  readonly server: StoreServer
  /** A prefix that no other test has. */
  readonly prefix: string
  /** A runtime over it; stopped by `end`. */
  runtime(
    broker?: Partial<BullmqOptions>,
    options?: Omit<RuntimeOptions, 'tasks' | 'broker'>,
  ): Runtime<TestTask>
  end(): Promise<void>
}

/** Describes tests for a store, or says why they are skipped. */
export function overStore(store: 'redis' | 'postgres', check: (place: () => Place) => void): void {
  const reason = whyNot(store)
  describe.skipIf(reason !== undefined)(`over ${store}${reason === undefined ? '' : ` (${reason})`}`, () => {
    let server: StoreServer
    beforeAll(async () => {
      server = await storeServer(store)
      await server.start()
    })
    afterAll(() => server.dispose())
    check(() => placeAt(server))
  })
}

function placeAt(server: StoreServer): Place {
  const prefix = `t${randomUUID().slice(0, 8)}`
  const runtimes: Runtime<TestTask>[] = []
  return {
    server,
    prefix,
    runtime: (broker = {}, options = {}) => {
      const made = createRuntime({
        tasks: [tasks.trail, tasks.telling, tasks.inOrder, tasks.clinging],
        log: false,
        pool: { threads: 1 },
        ...options,
        broker: bullmqBroker({ connection: server.url, prefix, lease: 4000, ...broker }),
      })
      runtimes.push(made)
      return made
    },
    end: async () => {
      server.goOn()
      await Promise.all(runtimes.map((runtime) => runtime.stop({ timeout: 0 })))
    },
  }
}

/** A test with a place of its own. */
export function testAt(place: () => Place, name: string, check: (place: Place) => Promise<void>): void {
  test(name, async () => {
    const here = place()
    try {
      await check(here)
    } finally {
      await here.end()
    }
  })
}

/** A test that plays in real time, with a place of its own each time that it is played; see `playSteadily`. */
export function playAt(
  place: () => Place,
  name: string,
  scene: (place: Place, slower: number) => Promise<void>,
): void {
  test(name, () =>
    playSteadily(async (slower) => {
      const here = place()
      try {
        await scene(here, slower)
      } finally {
        await here.end()
      }
    }),
  )
}
