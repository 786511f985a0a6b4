import { modelBench } from './shared-store-benches.ts'
import { sharedStoreContract } from './shared-store-contract.ts'

sharedStoreContract('as the simulation models it, over one connection', () => modelBench(true))
sharedStoreContract('as the simulation models it, over many connections', () => modelBench(false))
