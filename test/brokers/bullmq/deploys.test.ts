import { expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime, type Runtime } from '../../../src/engine/runtime.ts'
import { type AnyTask, defineTask } from '../../../src/rules/task.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { inOrder, trail } from './fixture/tasks.ts'
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
    broker: bullmqBroker({ connection: server.url, prefix, lease: 4000 }),
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

    testAt(
      place,
      'the jobs of a task that is gone are told of, cancelled and removed as all others, and no job waits behind them',
      async (here) => {
        const before = here.runtime({ role: 'producer' })
        const payload = { file: newFile(), ms: 1 }
        const gone = before.enqueueMany(
          Array.from({ length: 400 }, () => ({ task: trail, payload, options: { priority: 1 } })),
        )
        const limited = before.enqueue(inOrder, { file: payload.file, ms: 1 })
        await Promise.all([...gone, limited].map(({ stored }) => stored))
        await before.stop()
        const next = worker(here, [added])
        expect(await next.enqueue(added, { file: newFile(), ms: 1 }).settled).toMatchObject({ attempts: 1 })
        const available = { available: 401, running: 0 }
        await expect.poll(() => next.counts(), { timeout: 30_000 }).toMatchObject(available)
        const [first, second] = gone.map(({ id }) => id) as [string, string]
        expect(await next.job(first)).toMatchObject({ name: 'trail', state: 'available', attempts: 0 })
        expect(await next.job(limited.id)).toMatchObject({ name: 'in-order', state: 'available' })
        expect((await next.jobs({ task: 'trail', limit: 500 })).jobs).toHaveLength(400)
        expect((await next.jobs({ task: 'nobody' })).jobs).toEqual([])
        expect([await next.cancel(first), await next.cancel(limited.id), await next.cancel(first)]).toEqual([
          true,
          true,
          false,
        ])
        expect(await next.job(first)).toMatchObject({ state: 'cancelled' })
        expect((await next.jobs({ task: 'in-order' })).jobs).toMatchObject([{ state: 'cancelled' }])
        expect([await next.remove(first), await next.remove(second)]).toEqual([true, false])
        expect(await next.removeAll({ state: 'cancelled', task: 'in-order' })).toEqual({
          matched: 1,
          done: 1,
        })
        expect(await next.counts()).toMatchObject({ available: 399, cancelled: 0 })
        expect(next.stats()).toMatchObject({ pending: 0 })
      },
    )

    testAt(
      place,
      'the jobs of a task that was gone run once a process has it again, dead ones that were revived among them',
      async (here) => {
        const payload = { file: newFile(), ms: 1 }
        const old = here.runtime()
        const dead = old.enqueue(trail, { ...payload, fails: 3 })
        expect(await dead.settled).toMatchObject({ state: 'dead' })
        await old.stop()
        const without = worker(here, [added])
        expect(await without.revive(dead.id)).toBe(true)
        await expect.poll(() => without.counts()).toMatchObject({ available: 1, dead: 0, running: 0 })
        expect(without.stats()).toMatchObject({ pending: 0 })
        const ended = new Promise((resolve) => {
          worker(here, [trail, added]).on('job:completed', ({ job }) => resolve(job.id))
        })
        expect(await ended).toBe(dead.id)
      },
    )

    testAt(
      place,
      'a job is found by its id and cancelled before a call says so, wherever it waits',
      async (here) => {
        const runtime = here.runtime({ role: 'producer' })
        const job = runtime.enqueue(trail, { file: newFile(), ms: 1 }, { delay: 60_000 })
        await job.stored
        expect(await runtime.cancel(job.id)).toBe(true)
        expect(await runtime.job(job.id)).toMatchObject({ state: 'cancelled' })
        const other = here.runtime({ role: 'producer' })
        const late = runtime.enqueue(trail, { file: newFile(), ms: 1 }, { delay: 60_000 })
        await late.stored
        expect(await other.cancel(late.id)).toBe(true)
        expect(await other.job(late.id)).toMatchObject({ state: 'cancelled' })
      },
    )
  })
}
