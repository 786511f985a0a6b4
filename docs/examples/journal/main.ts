import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRuntime } from 'aftertask'
import { sqliteBroker } from 'aftertask/sqlite'
import { charge } from './tasks.ts'

const folder = mkdtempSync(join(tmpdir(), 'journal-'))
const file = join(folder, 'jobs.sqlite')

// The first process accepts a job and ends before it could run.
const first = createRuntime({ tasks: [charge], broker: sqliteBroker({ file }) })
first.pause()
// #region stored
const job = first.enqueue(charge, { order: 'A-17', cents: 4200 })
await job.stored // from here on the job survives kill -9 and the loss of power
// #endregion stored
const { left } = await first.stop()
console.log('left for later:', left.length)

// The next process goes on with it, without being told.
// #region next
const next = createRuntime({ tasks: [charge], broker: sqliteBroker({ file }) })
next.schedule(
  'every night',
  charge,
  { order: 'subscription', cents: 900 },
  { cron: '0 3 * * *', timeZone: 'Europe/Berlin' },
)
next.on('job:completed', async ({ job: done }) => {
  const facts = await next.job(done.id)
  console.log(facts?.state, facts?.result, facts?.history?.length)
  await next.stop()
  rmSync(folder, { recursive: true })
})
// #endregion next
