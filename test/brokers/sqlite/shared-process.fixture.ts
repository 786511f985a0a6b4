/** A process of a shared journal that has jobs in its window, or runs one without end, and is killed. */
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime } from '../../../src/index.ts'
import { echo, waits } from './tasks.fixture.ts'

const [file = '', what = 'queued'] = process.argv.slice(2)
const broker = sqliteBroker({ file, durability: 'process', shared: true })
const runtime = createRuntime({ tasks: [echo, waits], broker, pool: { threads: 1 } })
await runtime.ready()
if (what === 'waits') {
  const started = new Promise((resolve) => runtime.on('job:started', resolve))
  const { id } = runtime.enqueue(waits)
  await started
  process.stdout.write(`${id}\n`)
} else {
  runtime.pause()
  await Promise.all(Array.from({ length: 20 }, (_, n) => runtime.enqueue(echo, n).stored))
  process.stdout.write('stored\n')
}
