import { join } from 'node:path'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { heldToContract } from './held-to-contract.ts'

heldToContract({
  name: 'sqlite',
  make: (place) => sqliteBroker({ file: join(place, 'journal.sqlite'), durability: 'process' }),
  survives: true,
})

heldToContract({
  name: 'sqlite, with a window of one job,',
  make: (place) => sqliteBroker({ file: join(place, 'journal.sqlite'), durability: 'process', window: 2 }),
  survives: true,
})

heldToContract({
  name: 'shared sqlite',
  make: (place) => sqliteBroker({ file: join(place, 'journal.sqlite'), durability: 'process', shared: true }),
  survives: true,
  shares: true,
})
