/** Tasks with limits of their own beside others in one pool: each has a queue of its own, and they share the threads. */
import { expect } from 'vitest'
import { z } from 'zod'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import { defineTask } from '../../../src/rules/task.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, testAt } from './stores.ts'

const { newFile } = tempFolder('shared-pool')

const handler = new URL('./fixture/handlers/trail.ts', import.meta.url)
const payload = z.object({ file: z.string(), ms: z.number() })
const limited = defineTask({ name: 'limited', payload, handler, concurrency: 1 })

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    const runtimeAt = ({ server, prefix }: ReturnType<typeof place>) =>
      createRuntime({
        tasks: [trail, limited],
        pool: { threads: 1 },
        log: false,
        broker: bullmqBroker({ connection: server.url, prefix }),
      })

    testAt(place, 'a task with a limit of its own runs on a pool of one thread', async (here) => {
      await using runtime = runtimeAt(here)
      await runtime.ready()
      const job = runtime.enqueue(limited, { file: newFile(), ms: 1 })
      expect(await job.settled).toMatchObject({ state: 'completed' })
    })

    testAt(place, 'a task with a limit of its own is not starved by a backlog of its pool', async (here) => {
      await using runtime = runtimeAt(here)
      await runtime.ready()
      const file = newFile()
      const backlog = Array.from({ length: 100 }, () => runtime.enqueue(trail, { file, ms: 5 }))
      await backlog[0]?.settled
      const job = runtime.enqueue(limited, { file, ms: 1 })
      await job.settled
      expect(backlog.at(-1)?.state).not.toBe('completed')
    })
  })
}
