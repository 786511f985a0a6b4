import { serverContract } from './shared-store-benches.ts'

serverContract('redis')
