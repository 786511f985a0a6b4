/** Claims and ends of many jobs at once, over each store. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBullmqOptions } from '../../../../src/brokers/bullmq/options.ts'
import type { BullmqStore } from '../../../../src/brokers/bullmq/store/bullmq-store.ts'
import { PostgresStore } from '../../../../src/brokers/bullmq/store/postgres/postgres-store.ts'
import { RedisStore } from '../../../../src/brokers/bullmq/store/redis/redis-store.ts'
import type { Claimed, JobSource } from '../../../../src/brokers/bullmq/store/shared-store.ts'
import { systemClock } from '../../../../src/words/clock.ts'
import { type StoreServer, storeServer, whyNot } from '../../../kit/store-servers.ts'

const events = { up: () => {}, down: () => {}, message: () => {} }
const keep = { count: 2, age: 3_600_000 }
const opening = {
  clock: systemClock,
  events,
  topics: ['messages'],
  queues: [],
  retention: keep,
  recheck: 60_000,
}

const completed = { state: 'completed', result: '1', locks: [], stops: false, fetchNext: false } as const

for (const kind of ['redis', 'postgres'] as const) {
  const reason = whyNot(kind)
  describe.skipIf(reason !== undefined)(
    `fetching over ${kind}${reason === undefined ? '' : ` (${reason})`}`,
    () => {
      let server: StoreServer
      let store: BullmqStore
      let queues = 0
      let queue = ''
      let source: JobSource

      const storeAt = (): BullmqStore => {
        const settings = readBullmqOptions({ connection: server.url })
        return kind === 'redis' ? new RedisStore(settings) : new PostgresStore(settings)
      }

      beforeAll(async () => {
        server = await storeServer(kind)
        await server.start()
        store = storeAt()
        await store.open(opening)
      })
      afterAll(async () => {
        await store.close()
        await server.dispose()
      })

      const complete = (id: string, token: string, fetchNext = false): Promise<Claimed | undefined> =>
        source.end({ id, token, starts: 1, stalls: 0 }, { ...completed, fetchNext })

      const filledAt = async (at: BullmqStore, jobs: number): Promise<void> => {
        queue = `q${++queues}`
        source = at.source(queue, 'me')
        const names = Array.from({ length: jobs }, (_, n) => `job-${n}`)
        await at.queue(queue).addBulk(names.map((jobId) => ({ name: 'any', data: {}, opts: { jobId } })))
      }

      test('is closed at any moment while its fetchers get ready', async () => {
        for (let rounds = 0; rounds < 8; rounds++) {
          const closing = storeAt()
          await closing.open(opening)
          const backends = ['a', 'b', 'c'].map((name) => closing.source(name, 'me'))
          for (const backend of backends) backend.waitForWork(1).catch(() => {})
          for (let round = 0; round < rounds; round++) await closing.uptime()
          await closing.close()
        }
      })

      test('gives each token a job, in the order added, as long as there are any', async () => {
        await filledAt(store, 3)
        const { jobs } = await source.claim(['a', 'b', 'c', 'd'])
        const taken = jobs.map(({ token, job: { id } }) => [token, id])
        expect(taken).toEqual([
          ['a', 'job-0'],
          ['b', 'job-1'],
          ['c', 'job-2'],
        ])
      })

      test('notes on a job which process has it, however it came there', async () => {
        await filledAt(store, 2)
        await source.claim(['a'])
        await complete('job-0', 'a', true)
        const [first, second] = await Promise.all(
          ['job-0', 'job-1'].map((id) => store.queue(queue).backend.getJobData(id)),
        )
        expect([first?.processedBy, second?.processedBy]).toEqual(['me', 'me'])
      })

      test('hands over the next job with the end of one, under the same token', async () => {
        await filledAt(store, 4)
        await source.claim(['a', 'b'])
        const next = await Promise.all([complete('job-0', 'a', true), complete('job-1', 'b', true)])
        expect(next.map((claimed) => claimed?.job.id)).toEqual(['job-2', 'job-3'])
        await expect(complete('job-2', 'a')).resolves.toBeUndefined()
      })

      test('tells what lies under tokens, for whoever has heard of no answer', async () => {
        await filledAt(store, 3)
        await source.claim(['a', 'b'])
        await complete('job-0', 'a', true)
        const found = await source.claimedUnder(['a', 'c'])
        expect(found.map(({ token, job: { id } }) => [token, id])).toEqual([['a', 'job-2']])
      })

      test('refuses the end of a job that belongs to another, and takes those that come with it', async () => {
        await filledAt(store, 3)
        await source.claim(['a', 'b', 'c'])
        const ends = await Promise.allSettled([
          complete('job-0', 'a'),
          complete('job-1', 'not b'),
          complete('job-2', 'c'),
        ])
        expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
        expect(ends[1]).toMatchObject({ reason: { code: -6 } })
        expect(await store.queue(queue).getJobCounts('completed', 'active')).toEqual({
          completed: 2,
          active: 1,
        })
      })

      test('keeps as many finished jobs as it is told to, when many end at once', async () => {
        await filledAt(store, 5)
        const tokens = ['a', 'b', 'c', 'd', 'e']
        await source.claim(tokens)
        await Promise.all(tokens.map((token, n) => complete(`job-${n}`, token)))
        expect(await store.queue(queue).getJobCounts('completed')).toEqual({ completed: 2 })
      })

      test('keeps no finished job where none is to be kept', async () => {
        const other = storeAt()
        await other.open({ ...opening, retention: { count: 0, age: 0 } })
        await filledAt(other, 4)
        await source.claim(['a', 'b', 'c'])
        await Promise.all([complete('job-0', 'a'), complete('job-1', 'b', true), complete('job-2', 'c')])
        await complete('job-3', 'b')
        expect(await other.queue(queue).getJobCounts()).toMatchObject({ completed: 0, active: 0, waiting: 0 })
        await other.close()
      })
    },
  )
}
