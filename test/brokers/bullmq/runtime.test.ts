/** The broker under a real runtime: what a caller sees. */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect } from 'vitest'
import { nextEvent } from '../../kit/jobs.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { TOLD } from './fixture/handlers/telling.ts'
import { inOrder, telling, trail } from './fixture/tasks.ts'
import { overStore, type Place, playAt, testAt } from './stores.ts'

const { newFile } = tempFolder('trail')
const stepsOf = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n')

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'a job that a producer adds runs in a worker, and its handle settles with the result',
      async (here) => {
        here.runtime({ role: 'worker' })
        const producer = here.runtime({ role: 'producer' })
        expect(producer.stats().pools).toEqual({})
        const job = producer.enqueue(trail, { file: newFile(), ms: 1 })
        await job.stored
        expect(await job.result()).toEqual({ pid: process.pid })
        expect(await producer.job(job.id)).toMatchObject({ id: job.id, state: 'completed', attempts: 1 })
        expect(producer.stats().pending).toBe(0)
      },
    )

    testAt(
      place,
      'a job that fails is tried again as its task says, with its attempts counted',
      async (here) => {
        const runtime = here.runtime()
        const job = runtime.enqueue(trail, { file: newFile(), ms: 1, fails: 2 })
        expect(await job.settled).toMatchObject({ state: 'completed', attempts: 3 })
      },
    )

    testAt(place, 'a job that fails too often is dead with its own error, wherever it ran', async (here) => {
      here.runtime({ role: 'worker' })
      const producer = here.runtime({ role: 'producer' })
      const job = producer.enqueue(trail, { file: newFile(), ms: 1, fails: 9 })
      await expect(job.result()).rejects.toThrow('attempt 3 fails')
      expect(await producer.counts()).toMatchObject({ dead: 1 })
      expect(await producer.revive(job.id)).toBe(true)
    })

    testAt(
      place,
      'a job that is unique for a time keeps an equal one away for that time, over two runtimes',
      async (here) => {
        const [one, other] = [here.runtime(), here.runtime({ role: 'producer' })]
        const unique = { unique: { key: 'same', for: 60_000 } }
        const first = one.enqueue(trail, { file: newFile(), ms: 1 }, unique)
        expect(await first.settled).toMatchObject({ state: 'completed' })
        const second = other.enqueue(trail, { file: newFile(), ms: 1 }, unique)
        expect(await second.settled).toMatchObject({ state: 'skipped' })
      },
    )

    for (const what of ['long', 'map', 'bigint'] as const) {
      testAt(place, `progress that is a ${what} is told in the process that added the job`, async (here) => {
        here.runtime({ role: 'worker' })
        const producer = here.runtime({ role: 'producer' })
        const job = producer.enqueue(telling, { what })
        expect(await job.settled).toMatchObject({ state: 'completed' })
        expect((await producer.job(job.id))?.progress).toEqual(TOLD[what])
      })
    }

    testAt(place, 'messages that cannot be read, on any channel, are passed over', async (here) => {
      const runtime = here.runtime()
      await runtime.ready()
      const first = runtime.enqueue(trail, { file: newFile(), ms: 1 })
      await first.settled
      const origin = first.id.slice(0, first.id.lastIndexOf('-') + 1)
      for (const channel of ['cancel', `ends:${origin}`, 'schedules']) {
        for (const text of ['', 'nonsense', 'null', '[[1]]', '[["j","progress",1]]', '{"id":{}}']) {
          await send(here, channel, text)
        }
      }
      expect(await runtime.enqueue(trail, { file: newFile(), ms: 1 }).settled).toMatchObject({
        state: 'completed',
      })
    })

    testAt(place, 'a running job is cancelled from another process', async (here) => {
      here.runtime({ role: 'worker' })
      const producer = here.runtime({ role: 'producer' })
      const other = here.runtime({ role: 'producer' })
      const job = producer.enqueue(trail, { file: newFile(), ms: 60_000 })
      await job.stored
      for (;;) {
        const info = await other.job(job.id)
        if (info?.state === 'running') break
      }
      expect(await other.cancel(job.id, 'not needed')).toBe(true)
      expect(await job.settled).toMatchObject({ state: 'cancelled' })
    })

    testAt(place, 'jobs of one key run one at a time and in order, over two runtimes', async (here) => {
      here.runtime({ role: 'worker' })
      here.runtime({ role: 'worker' })
      const producer = here.runtime({ role: 'producer' })
      const file = newFile()
      const jobs = Array.from({ length: 8 }, () => producer.enqueue(inOrder, { file, ms: 2 }))
      await Promise.all(jobs.map(({ settled }) => settled))
      const steps = stepsOf(file).map((line) => line.split(' ').slice(0, 2).join(' '))
      expect(steps).toEqual(jobs.flatMap(({ id }) => [`begin ${id}`, `end ${id}`]))
    })

    testAt(
      place,
      'while the store is away adding is refused, and everything goes on once it is back',
      async (here) => {
        const runtime = here.runtime()
        await runtime.ready()
        const before = runtime.enqueue(trail, { file: newFile(), ms: 1 })
        await before.settled
        const down = nextEvent(runtime, 'broker:down')
        await here.server.stop(true)
        await down
        expect(runtime.stats().broker).toEqual({ state: 'down', buffered: 0, fenced: 0 })
        expect(() => runtime.enqueue(trail, { file: newFile(), ms: 1 })).toThrow(
          expect.objectContaining({ code: 'ERR_BROKER_UNAVAILABLE', status: 503 }),
        )
        const up = nextEvent(runtime, 'broker:up')
        await here.server.start()
        expect((await up).downFor).toBeGreaterThan(0)
        expect(await runtime.enqueue(trail, { file: newFile(), ms: 1 }).settled).toMatchObject({
          state: 'completed',
        })
      },
    )

    testAt(
      place,
      'while the store is away jobs are buffered up to the bound, and run once it is back',
      async (here) => {
        const runtime = here.runtime({ whenDown: 'buffer', buffer: 2 })
        await runtime.ready()
        const down = nextEvent(runtime, 'broker:down')
        await here.server.stop()
        await down
        const jobs = [1, 2].map(() => runtime.enqueue(trail, { file: newFile(), ms: 1 }))
        expect(runtime.stats().broker).toEqual({ state: 'down', buffered: 2, fenced: 0 })
        expect(() => runtime.enqueue(trail, { file: newFile(), ms: 1 })).toThrow('2 jobs wait for it already')
        await here.server.start()
        const settled = await Promise.all(jobs.map((job) => job.settled))
        expect(settled.map(({ state }) => state)).toEqual(['completed', 'completed'])
      },
    )

    playAt(
      place,
      'jobs that keep every thread busy for longer than their lease are not run again',
      async (here, slower) => {
        const lease = slower * 500
        here.runtime({ role: 'worker', lease }, { pool: { threads: 2 } })
        here.runtime({ role: 'worker', lease })
        const producer = here.runtime({ role: 'producer', lease })
        const file = newFile()
        const jobs = [1, 2, 3].map(() => producer.enqueue(trail, { file, ms: 2.4 * lease }))
        const settled = await Promise.all(jobs.map((job) => job.settled))
        expect(settled.map(({ state, attempts }) => [state, attempts])).toEqual(
          jobs.map(() => ['completed', 1]),
        )
        expect(stepsOf(file).filter((line) => line.startsWith('begin'))).toHaveLength(3)
      },
    )
  })
}

/** A message from somebody else. */
async function send({ server, prefix }: Place, channel: string, text: string): Promise<void> {
  if (server.url.startsWith('redis')) {
    const redis = new Redis(server.url)
    await redis.publish(`${prefix}:${channel}`, text)
    redis.disconnect()
    return
  }
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await client.query("select pg_notify('aftertask', $1)", [`${prefix}:${channel} ${text}`])
  await client.end()
}
