import { createRuntime } from 'aftertask'
import { backUp } from './tasks.ts'

const runtime = createRuntime({ tasks: [backUp], pool: { threads: 2 }, log: false })
await runtime.ready()

// #region stop
runtime.enqueue('files.back-up', { milliseconds: 20 })
const slow = runtime.enqueue('files.back-up', { milliseconds: 60_000 })

const report = await runtime.stop({ timeout: 500 })
console.log(report.completed, report.failed, report.lost.length, report.left.length)
console.log(report.lost[0]?.id === slow.id, report.lost[0]?.name)
if (report.lost.length > 0) process.exitCode = 1
// #endregion stop

// #region after
const { state, error } = await slow.settled
console.log(state, error?.message)
// #endregion after
process.exitCode = 0
