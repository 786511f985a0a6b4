/** What becomes of jobs whose fetch was answered to nobody, over PostgreSQL. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBullmqOptions } from '../../../../src/brokers/bullmq/options.ts'
import { PostgresSource } from '../../../../src/brokers/bullmq/store/postgres/postgres-source.ts'
import { PostgresStore } from '../../../../src/brokers/bullmq/store/postgres/postgres-store.ts'
import { systemClock } from '../../../../src/words/clock.ts'
import { START_TIMEOUT, type StoreServer, storeServer, whyNot } from '../../../kit/store-servers.ts'

const reason = whyNot('postgres')

describe.skipIf(reason !== undefined)(
  `fetching over a connection that breaks${reason === undefined ? '' : ` (${reason})`}`,
  () => {
    let server: StoreServer
    let store: PostgresStore
    let pool: pg.Pool

    beforeAll(async () => {
      server = await storeServer('postgres')
      await server.start()
      const settings = readBullmqOptions({ connection: server.url, prefix: 'own' })
      store = new PostgresStore(settings)
      const events = { up: () => {}, down: () => {}, message: () => {} }
      const retention = { count: 9, age: 1e6 }
      await store.open({ clock: systemClock, events, topics: ['messages'], queues: [], retention })
      pool = new pg.Pool({ connectionString: server.url, options: '-c search_path=bullmq' })
    }, START_TIMEOUT)
    afterAll(async () => {
      await pool.end()
      await store.close()
      await server.dispose()
    })

    test('brings a job once, though it comes with an end that is tried again while one looks for what was not heard of', async () => {
      const names = ['job-0', 'job-1']
      await store.queue('q').addBulk(names.map((jobId) => ({ name: 'any', data: {}, opts: { jobId } })))
      const gate = Promise.withResolvers<void>()
      const looking = Promise.withResolvers<void>()
      let breaks = 1
      // The one thing here that is not real: when a connection breaks, and how long a statement is on its way.
      const query = async (text: string, values: unknown[]): Promise<unknown> => {
        if (text.includes('move_to_completed_fetch') && breaks-- > 0)
          throw new Error('The connection is closed.')
        if (text.startsWith('update job')) {
          looking.resolve()
          await gate.promise
        }
        return await pool.query(text, values)
      }
      const of = { name: 'own.q', lease: 30_000, keep: true as const }
      const { backend } = store.queue('q')
      const parts = { queue: 'q', name: 'me', ended: {} as never, backend: () => backend }
      const source = new PostgresSource(parts, { query } as unknown as pg.Pool, of)
      await source.claim(['a'])
      const end = { id: 'job-0', token: 'a', result: { n: 1 }, fetchNext: true }
      await expect(source.complete(end)).rejects.toThrow('closed')
      const claimed = source.claim(['b'])
      await looking.promise
      const next = (await source.complete(end))?.job.id
      gate.resolve()
      const found = (await claimed).jobs.map(({ job: { id } }) => id)
      expect([next, ...found]).toEqual(['job-1'])
    })
  },
)
