/** A process of a shared file: one runs a job that does not end, the other opens the file and finds that in order. */
import { sqliteBroker } from '../../../src/brokers/sqlite.ts'
import { createRuntime, defineTask } from '../../../src/index.ts'

const [file = '', starts = '', role] = process.argv.slice(2)
const lasts = defineTask({
  name: 'lasts',
  handler: { module: new URL('./workers/shared.ts', import.meta.url), export: 'lasts' },
})
const runtime = createRuntime({
  tasks: [lasts],
  broker: sqliteBroker({ file, durability: 'process', shared: true }),
  pool: { threads: 1, env: { STARTS: starts } },
  log: false,
})
await runtime.ready()
if (role === 'runs') {
  runtime.enqueue(lasts)
} else {
  // Whoever opens the file takes over what the dead have left, and charges them with what they ran.
  const [job] = (await runtime.jobs()).jobs
  const facts = job && (await runtime.job(job.id))
  process.exit(facts?.history?.length === 0 ? 0 : 1)
}
