/** Which SQLite may write a journal. */
import { DatabaseSync } from 'node:sqlite'
import { JournalError } from './journal-error.ts'

/** The first one without the fault that can corrupt a WAL file under several connections. */
const OLDEST = [3, 51, 3] as const

/** @throws JournalError for a SQLite that can corrupt a journal. */
export function checkSqlite(version: string = ownVersion()): void {
  const parts = version.split('.').map(Number)
  const at = OLDEST.findIndex((oldest, index) => parts[index] !== oldest)
  if (at === -1 || (parts[at] ?? 0) > (OLDEST[at] ?? 0)) return
  const message = `Node ${process.version} comes with SQLite ${version}, which can corrupt a journal; ${OLDEST.join('.')} or later is needed. Use Node 22.23, 24.21 or later.`
  throw new JournalError({ kind: 'version', message })
}

let known: string | undefined

function ownVersion(): string {
  known ??= askVersion()
  return known
}

function askVersion(): string {
  const probe = new DatabaseSync(':memory:')
  const { version } = probe.prepare('SELECT sqlite_version() AS version').get() as { version: string }
  probe.close()
  return version
}
