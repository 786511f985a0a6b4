import { join } from 'node:path'
import { sqliteBroker } from '../../src/brokers/sqlite.ts'
import { brokerContract } from './broker-contract.ts'

brokerContract({
  name: 'sqlite',
  make: (place) => sqliteBroker({ file: join(place, 'journal.sqlite'), durability: 'process' }),
  survives: true,
})

brokerContract({
  name: 'sqlite, with a window of one job,',
  make: (place) => sqliteBroker({ file: join(place, 'journal.sqlite'), durability: 'process', window: 2 }),
  survives: true,
})

brokerContract({
  name: 'shared sqlite',
  make: (place) => sqliteBroker({ file: join(place, 'journal.sqlite'), durability: 'process', shared: true }),
  survives: true,
})
