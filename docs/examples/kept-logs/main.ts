import { createRuntime } from 'aftertask'
import { report } from './tasks.ts'

const runtime = createRuntime({ tasks: [report], log: () => {} })
const job = runtime.enqueue(report)
await job.settled

// #region read
const facts = await runtime.job(job.id, { logs: true })
for (const { attempt, from, level, message } of facts?.logs ?? []) console.log(attempt, from, level, message)
// #endregion read

await runtime.stop()
