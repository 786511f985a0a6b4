/** BullMQ's own functions in PostgreSQL, which ours call. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBullmqOptions } from '../../../../../src/brokers/bullmq/options.ts'
import { PostgresStore } from '../../../../../src/brokers/bullmq/store/postgres/postgres-store.ts'
import { systemClock } from '../../../../../src/words/clock.ts'
import { type StoreServer, storeServer, whyNot } from '../../../../kit/store-servers.ts'

const reason = whyNot('postgres')
const events = { up: () => {}, down: () => {}, message: () => {} }
const retention = { count: 10, age: 60_000 }
const opening = { clock: systemClock, events, topics: ['messages'], queues: [], retention, recheck: 1000 }

describe.skipIf(reason !== undefined)(
  `a store in PostgreSQL${reason === undefined ? '' : ` (${reason})`}`,
  () => {
    let server: StoreServer
    beforeAll(async () => {
      server = await storeServer('postgres')
      await server.start()
    })
    afterAll(() => server.dispose())

    test('is refused with the names of the functions of BullMQ that are others than were known', async () => {
      const store = (): PostgresStore => new PostgresStore(readBullmqOptions({ connection: server.url }))
      const first = store()
      await first.open(opening)
      await first.close()
      const client = new pg.Client({ connectionString: server.url })
      await client.connect()
      await client.query('alter function bullmq.promote(text, text) rename to promote_at_once')
      await client.query('create function bullmq.promote(text, text, integer) returns integer return 0')
      await client.end()
      const second = store()
      await expect(second.open(opening)).rejects.toMatchObject({
        code: 'ERR_BROKER_UNAVAILABLE',
        reason: 'unsupported',
        message: expect.stringMatching(/: promote\. Install a version of bullmq/),
      })
      await second.close()
    })
  },
)
