import { expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime, type Runtime } from '../../../src/engine/runtime.ts'
import { type AnyTask, defineTask } from '../../../src/rules/task.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

const handler = new URL('./fixture/handlers/trail.ts', import.meta.url)
/** What becomes of `trail` in the next version: a field that old payloads do not have. */
const nextTrail = defineTask({
  name: 'trail',
  payload: z.object({ file: z.string(), ms: z.number(), tenant: z.string() }),
  handler,
})
/** A task of the next version only. */
const added = defineTask({ name: 'added', payload: z.object({ file: z.string(), ms: z.number() }), handler })

const { newFile } = tempFolder('deploys')

/** A worker of one version. */
function worker<const T extends AnyTask>({ server, prefix }: Place, tasks: readonly T[]): Runtime<T> {
  const runtime = createRuntime({
    tasks,
    log: false,
    pool: { threads: 1 },
    broker: bullmqBroker({ connection: server.url, prefix, lease: 1000 }),
  })
  onTestFinished(() => void runtime.stop({ timeout: 0 }))
  return runtime as unknown as Runtime<T>
}

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'a job of before a deploy reaches the new handler with its old payload; the new schema judges new calls only',
      async (here) => {
        const old = here.runtime({ role: 'producer' })
        const job = old.enqueue(trail, { file: newFile(), ms: 1 })
        await job.stored
        const next = worker(here, [nextTrail])
        expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
        expect(() => next.enqueue('trail', { file: newFile(), ms: 1 } as never)).toThrow(
          expect.objectContaining({ code: 'ERR_PAYLOAD_INVALID' }),
        )
      },
    )

    testAt(
      place,
      'a job whose task a process does not know is left to one that does, with no attempt counted',
      async (here) => {
        const old = worker(here, [trail])
        await old.ready()
        const next = worker(here, [trail, added])
        const job = next.enqueue(added, { file: newFile(), ms: 1 })
        expect(await job.settled).toMatchObject({ state: 'completed', attempts: 1 })
        expect(old.stats()).toMatchObject({ dead: 0, pending: 0 })
      },
    )
  })
}
