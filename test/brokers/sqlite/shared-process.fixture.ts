/** A process of a shared journal that has jobs in its window and is killed. */
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime } from '../../../src/index.ts'
import { echo } from './tasks.fixture.ts'

const [file = ''] = process.argv.slice(2)
const broker = sqliteBroker({ file, durability: 'process', shared: true })
const runtime = createRuntime({ tasks: [echo], broker, pool: { threads: 1 } })
await runtime.ready()
runtime.pause()
await Promise.all(Array.from({ length: 20 }, (_, n) => runtime.enqueue(echo, n).stored))
process.stdout.write('stored\n')
