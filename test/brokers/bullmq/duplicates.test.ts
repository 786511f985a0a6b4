/** What a duplicate of a unique job has a say in, on a broker that several processes share. */
import { describe } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { checkDuplicates } from '../../contract/duplicates.ts'
import { overStore } from './stores.ts'

overStore('redis', (place) => {
  describe('a duplicate on bullmq', () => {
    checkDuplicates(() => {
      const { server, prefix } = place()
      return bullmqBroker({ connection: server.url, prefix })
    })
  })
})
