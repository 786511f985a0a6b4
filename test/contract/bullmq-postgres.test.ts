import { basename } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { bullmqBroker } from '../../src/brokers/bullmq.ts'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { brokerContract } from './broker-contract.ts'

const reason = whyNot('postgres')
let server: StoreServer

if (reason === undefined) {
  beforeAll(async () => {
    server = await storeServer('postgres')
    await server.start()
  })
  afterAll(() => server.dispose())
  brokerContract({
    name: 'bullmq on postgres',
    make: (place) => bullmqBroker({ connection: server.url, prefix: basename(place).slice(-40) }),
    survives: true,
  })
} else {
  describe('the bullmq on postgres broker', () => {
    test.skip(reason, () => {})
  })
}
