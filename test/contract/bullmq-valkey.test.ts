/** Valkey is Redis to the broker: the contract holds on it as well, where it is installed. */
import { basename } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { bullmqBroker } from '../../src/brokers/bullmq.ts'
import { type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { brokerContract } from './broker-contract.ts'

const reason = whyNot('valkey')
let server: StoreServer

if (reason === undefined) {
  beforeAll(async () => {
    server = await storeServer('valkey')
    await server.start()
  })
  afterAll(() => server.dispose())
  brokerContract({
    name: 'bullmq on valkey',
    make: (place) => bullmqBroker({ connection: server.url, prefix: basename(place).slice(-40) }),
    survives: true,
  })
} else {
  describe('the bullmq on valkey broker', () => {
    test.skip(reason, () => {})
  })
}
