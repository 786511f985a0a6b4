import { memoryBroker } from '../../src/brokers/memory.ts'
import { heldToContract } from './held-to-contract.ts'

heldToContract({ name: 'memory', make: () => memoryBroker(), survives: false })
