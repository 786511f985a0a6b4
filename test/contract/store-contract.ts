/** The contract of brokers over one store server, or why it is skipped. */
import { basename } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { bullmqBroker } from '../../src/brokers/bullmq.ts'
import { type StoreName, type StoreServer, storeServer, whyNot } from '../kit/store-servers.ts'
import { heldToContract } from './held-to-contract.ts'

/** Holds the BullMQ broker to the contract over this store. */
export function storeContract(store: StoreName): void {
  const name = `bullmq on ${store}`
  const reason = whyNot(store)
  if (reason !== undefined) {
    describe(`the ${name} broker`, () => {
      test.skip(reason, () => {})
    })
    return
  }
  let server: StoreServer
  beforeAll(async () => {
    server = await storeServer(store)
    await server.start()
  })
  afterAll(() => server.dispose())
  heldToContract({
    name,
    make: (place) => bullmqBroker({ connection: server.url, prefix: basename(place).slice(-40) }),
    survives: true,
    shares: true,
  })
}
