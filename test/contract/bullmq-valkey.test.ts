/** Valkey is Redis to the broker: the contract holds on it as well, where it is installed. */
import { storeContract } from './store-contract.ts'

storeContract('valkey')
