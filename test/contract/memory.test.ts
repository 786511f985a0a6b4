import { memoryBroker } from '../../src/brokers/memory.ts'
import { brokerContract } from './broker-contract.ts'

brokerContract({ name: 'memory', make: () => memoryBroker(), survives: false })
