import { createRuntime } from 'aftertask'
import { nightlyReport } from './tasks.ts'

const runtime = createRuntime({ tasks: [nightlyReport] })

// #region nightly
runtime.schedule(
  'nightly report', // the id: setting it again replaces the schedule
  nightlyReport,
  { recipient: 'ada@example.com' },
  { cron: '30 2 * * *', timeZone: 'Europe/Berlin' },
)
// #endregion nightly

// #region every
const { nextAt } = runtime.schedule(
  'heartbeat',
  nightlyReport,
  { recipient: 'ops@example.com' },
  { every: 50 }, // milliseconds
)
// #endregion every
console.log('in less than a second:', nextAt - Date.now() < 1000)

const done = Promise.withResolvers<void>()
runtime.on('job:completed', () => done.resolve())
await done.promise

// #region others
const dropped = await runtime.unscheduleOthers() // all that this process has not set
// #endregion others
console.log('dropped:', dropped.length)

// #region list
for (const { id, task, cron, every } of await runtime.schedules()) console.log(id, task, cron ?? every)
await runtime.unschedule('heartbeat')
// #endregion list
await runtime.stop()
