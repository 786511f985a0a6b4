/** Schedules that several processes share. */
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect, test } from 'vitest'
import { ClusterSchedules } from '../../../src/brokers/bullmq/store/cluster-schedules.ts'
import { PostgresSchedules } from '../../../src/brokers/bullmq/store/postgres/postgres-schedules.ts'
import { RedisSchedules } from '../../../src/brokers/bullmq/store/redis/redis-schedules.ts'
import type { ScheduleTable } from '../../../src/brokers/bullmq/store/shared-store.ts'
import { Retries } from '../../../src/brokers/lifecycle/retries.ts'
import type { Runtime } from '../../../src/engine/runtime.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { nextEvent } from '../../kit/next-event.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

const DAY = 86_400_000
const { path } = tempFolder('schedules')
const payload = () => ({ file: path('trail'), ms: 0 })

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'each run of a schedule is made once, however many processes share it, whichever stops',
      async (here) => {
        const runtimes = [
          here.runtime(),
          here.runtime({ role: 'producer' }),
          here.runtime({ role: 'producer' }),
        ]
        const added: string[] = []
        const skipped: string[] = []
        const seen = Promise.withResolvers<void>()
        for (const runtime of runtimes) {
          runtime.on('job:enqueued', ({ job }) => {
            added.push(job.id)
            if (added.length === 5) void runtime.stop({ timeout: 0 })
            if (added.length === 12) seen.resolve()
          })
          runtime.on('job:skipped', ({ job }) => skipped.push(job.id))
        }
        await Promise.all(runtimes.map((runtime) => runtime.ready()))
        for (const runtime of runtimes) runtime.schedule('beat', trail, payload(), { every: 100 })
        await seen.promise
        const left = here.runtime({ role: 'producer' })
        await left.unschedule('beat')
        await Promise.all(runtimes.map((runtime) => runtime.stop({ timeout: 0 })))
        const made = new Set(added)
        expect(made.size).toBe(added.length)
        expect(skipped).toEqual([])
      },
    )

    testAt(place, 'a store that has lost all its data gets its schedules back', async (here) => {
      const runtime = here.runtime({ role: 'producer' })
      await runtime.ready()
      runtime.schedule('kept', trail, payload(), { every: DAY })
      const listed = async (of = runtime): Promise<unknown[]> =>
        (await of.schedules()).map(({ id, nextAt }) => [id, nextAt])
      const before = await listed()
      expect(before).toEqual([['kept', expect.anything()]])
      if (store === 'redis') here.server.ask('flushall')
      else here.server.ask('drop schema aftertask cascade', 'drop schema bullmq cascade')
      expect(await listed()).toEqual(before)
      expect(await listed(here.runtime({ role: 'producer' }))).toEqual(before)
    })

    testAt(
      place,
      'a run of a schedule is made for each time between the first and the next, and no other',
      async (here) => {
        const runtimes = [here.runtime({ role: 'producer' }), here.runtime({ role: 'producer' })]
        let added = 0
        const seen = Promise.withResolvers<void>()
        const count = (): void => void (++added === 20 && seen.resolve())
        for (const runtime of runtimes) runtime.on('job:enqueued', count)
        const [one, other] = runtimes as [Runtime, Runtime]
        await one.ready()
        const { nextAt: first } = one.schedule('beat', trail, payload(), { every: 50, missed: 'all' })
        await seen.promise
        // Both stop, and what was begun is over with that: then the numbers stand still.
        await Promise.all([one.stop({ timeout: 0 }), other.stop({ timeout: 0 })])
        const [beat] = await tableOf(here, (table) => table.all())
        expect(((beat?.nextAt ?? 0) - first) / 50).toBe(added)
      },
    )

    testAt(
      place,
      'a schedule is listed and taken away in any process, and outlives all of them',
      async (here) => {
        const first = here.runtime({ role: 'producer' })
        await first.ready()
        const set = first.schedule('nightly', trail, payload(), {
          cron: '0 3 * * *',
          timeZone: 'Europe/Berlin',
        })
        expect(await first.schedules()).toEqual([set])
        expect(await first.pauseSchedule('nightly')).toBe(true)
        await first.stop({ timeout: 0 })
        const [second, third] = [here.runtime({ role: 'producer' }), here.runtime()]
        expect(await second.schedules()).toEqual([{ ...set, paused: true, setHere: false }])
        expect(await second.resumeSchedule('nightly')).toBe(true)
        expect(await third.schedules()).toEqual([{ ...set, setHere: false }])
        expect(await third.unschedule('nightly')).toBe(true)
        expect(await second.unschedule('nightly')).toBe(false)
        expect(await second.schedules()).toEqual([])
      },
    )

    testAt(place, 'a schedule that one process changes is the changed one in every other', async (here) => {
      const [one, other] = [here.runtime({ role: 'producer' }), here.runtime({ role: 'producer' })]
      await Promise.all([one.ready(), other.ready()])
      one.schedule('beat', trail, payload(), { every: DAY })
      await one.schedules()
      expect(await other.schedules()).toMatchObject([{ every: DAY }])
      const added = nextEvent(other, 'job:enqueued')
      // This process ends before the first run, so the other one has heard of it by itself.
      one.schedule('beat', trail, payload(), { every: 1500 })
      await one.schedules()
      await one.stop({ timeout: 0 })
      expect((await added).job.name).toBe('trail')
    })

    testAt(
      place,
      'runs that nobody was there for are made up by one job in the whole cluster',
      async (here) => {
        const first = here.runtime({ role: 'producer' })
        await first.ready()
        const { nextAt } = first.schedule('beat', trail, payload(), { every: 40_000 })
        expect(await first.schedules()).toHaveLength(1)
        await first.stop({ timeout: 0 })
        // A day later, by the store.
        const [kept] = await tableOf(here, (table) => table.all())
        if (kept === undefined) throw new Error('The schedule is not kept.')
        await tableOf(here, (table) => table.made(kept, nextAt - DAY))
        const added: string[] = []
        const later = [1, 2, 3].map(() => {
          const runtime = here.runtime({ role: 'producer' })
          runtime.on('job:enqueued', ({ job }) => added.push(job.id))
          return runtime
        })
        try {
          for (;;) {
            const lists = await Promise.all(later.map((runtime) => runtime.schedules()))
            if (lists.every(([info]) => (info?.nextAt ?? 0) > Date.now())) break
          }
          expect(added).toHaveLength(1)
          const [beat] = (await later[0]?.schedules()) ?? []
          expect(((beat?.nextAt ?? 0) - nextAt) % 40_000).toBe(0)
        } finally {
          await Promise.all(later.map((runtime) => runtime.stop({ timeout: 0 })))
        }
      },
    )

    testAt(
      place,
      'a process that stops leaves no run of a schedule behind that no other can take',
      async (here) => {
        const ids = Array.from({ length: 10 }, (_, at) => `beat ${at}`)
        for (let round = 1; round <= 4; round++) {
          const runtime = here.runtime({ role: 'producer' })
          await runtime.ready()
          let added = 0
          const ended = new Promise((resolve) => {
            // Runs are being taken, added and put down at this moment.
            runtime.on('job:enqueued', () => {
              if (++added === round * 7) resolve(runtime.stop({ timeout: 0 }))
            })
          })
          for (const id of ids) runtime.schedule(id, trail, payload(), { every: 20 })
          await ended
          await tableOf(here, async (table) => {
            const kept = await table.all()
            expect(kept.map(({ id }) => id).sort()).toEqual(ids)
            expect(await Promise.all(kept.map((one) => table.take(one, 'another', 1000)))).toEqual(
              ids.map(() => true),
            )
            await Promise.all(ids.map((id) => table.release(id, 'another')))
          })
        }
      },
    )

    testAt(place, 'a run whose process died while it made it is made by another', async (here) => {
      const runtime = here.runtime({ role: 'producer' })
      await runtime.ready()
      runtime.schedule('beat', trail, payload(), { every: 500, missed: 'skip' })
      await runtime.schedules()
      await tableOf(here, async (table) => {
        const beat = async () => {
          const [only] = await table.all()
          if (only === undefined) throw new Error('The schedule is not kept.')
          return only
        }
        // Its own process may make a run meanwhile.
        let taken = await beat()
        while (!(await table.take(taken, 'dead', DAY))) taken = await beat()
        expect(await table.take(taken, 'another', DAY)).toBe(false)
        const added = nextEvent(runtime, 'job:enqueued')
        expect(await table.take(taken, 'dead', 500)).toBe(true)
        expect((await added).job.name).toBe('trail')
        while ((await beat()).nextAt === taken.nextAt);
      })
    })
  })
}

test('a stop waits for a run of a schedule that is being made, also after another take of the schedule has failed', async () => {
  const clock = new HandClock()
  const schedule = { id: 'beat', definition: '{}', nextAt: 0 }
  const answers = [true, false]
  const table = { take: async () => answers.shift() === true, made: async () => {} }
  const store = { schedules: table, publish: () => {} }
  const retries = new Retries(clock, () => false)
  const schedules = new ClusterSchedules(store as never, retries, clock, 'me', (question) => question())
  expect(await schedules.lease.acquire(schedule)).toBe(true)
  expect(await schedules.lease.acquire(schedule)).toBe(false)
  const order: string[] = []
  const settled = schedules.settle().then(() => order.push('settled'))
  await new Promise((resolve) => setImmediate(resolve))
  order.push('made')
  await schedules.lease.complete(schedule, 1)
  await settled
  expect(order).toEqual(['made', 'settled'])
})

/** What the store itself keeps. */
async function tableOf<T>({ server, prefix }: Place, ask: (table: ScheduleTable) => Promise<T>): Promise<T> {
  if (server.url.startsWith('redis')) {
    const redis = new Redis(server.url)
    try {
      return await ask(new RedisSchedules(redis, prefix))
    } finally {
      redis.disconnect()
    }
  }
  const pool = new pg.Pool({ connectionString: server.url, options: '-c search_path=bullmq' })
  try {
    return await ask(new PostgresSchedules(pool, prefix))
  } finally {
    await pool.end()
  }
}
