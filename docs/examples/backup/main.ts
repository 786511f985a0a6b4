import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createRuntime } from 'aftertask'
import { sqliteBroker } from 'aftertask/sqlite'
import { charge } from '../journal/tasks.ts'

const folder = mkdtempSync(join(tmpdir(), 'backup-'))
const file = join(folder, 'jobs.sqlite')
const copy = join(folder, 'jobs-1.sqlite')

const first = createRuntime({ tasks: [charge], broker: sqliteBroker({ file }) })
first.pause()
await first.enqueue(charge, { order: 'A-17', cents: 4200 }).stored

// #region backup
const db = new DatabaseSync(file, { readOnly: true })
db.prepare('VACUUM INTO ?').run(copy) // while the runtime runs; from a shell: sqlite3 jobs.sqlite "VACUUM INTO 'jobs-1.sqlite'"
db.close()
// #endregion backup

await first.enqueue(charge, { order: 'B-1', cents: 100 }).stored
await first.stop()

// #region restore
for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true }) // or the old log is played over the copy
copyFileSync(copy, file)
// #endregion restore

const next = createRuntime({ tasks: [charge], broker: sqliteBroker({ file }) })
next.on('job:completed', async ({ result }) => {
  console.log(result, (await next.jobs()).jobs.length)
  await next.stop()
  rmSync(folder, { recursive: true })
})
