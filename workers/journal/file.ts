/** Opens the journal's file: the lock, the settings that durability stands on, and the schema. */
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import type { JournalFault, JournalSetup } from '../../src/rules/journal-protocol.ts'
import { expectOneName, type FileWatch, OpenIdentity, realPath } from './identity.ts'
import { codeOf, JournalError } from './journal-error.ts'
import { make, takeLock } from './lock.ts'
import { announce } from './presence.ts'
import { migrate } from './schema.ts'
import { checkSqlite } from './sqlite-version.ts'

/** A file that is open, and what says whose it is. */
export interface OpenFile {
  readonly db: DatabaseSync
  readonly lock: DatabaseSync
  /** Which lock that is. */
  readonly lockId: string
  /** Says in this process that the run is open. */
  readonly presence: DatabaseSync
  readonly identity: FileWatch
}

/** Opens the file, or says why not. */
export function openFile(setup: JournalSetup): OpenFile {
  const { file, durability, isShared, patience, maxPages, sqliteVersion, mode, resume, idPrefix } = setup
  const opened: DatabaseSync[] = []
  try {
    checkSqlite(sqliteVersion)
    const path = realPath(file)
    expectOneName(path)
    // One that was open is never made anew: what it held would be missing there, and nobody would know.
    const before =
      resume === undefined ? undefined : new OpenIdentity(path, isShared, resume.identity).identity
    const { lock, lockId } = takeLock(path, isShared, mode)
    opened.push(lock)
    if (resume === undefined) make(path, mode)
    const db = new DatabaseSync(resume === undefined ? path : onlyIfThere(path), { timeout: patience })
    opened.push(db)
    const identity = new OpenIdentity(path, isShared, before)
    setUp(db, durability)
    migrate(db, file)
    if (maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${maxPages}`)
    return { db, lock, lockId, presence: announce(idPrefix), identity }
  } catch (error) {
    for (const one of opened.toReversed()) if (one.isOpen) one.close()
    throw error instanceof JournalError ? error : new JournalError(faultOf(error, file), { cause: error })
  }
}

/** Lets go of a file. */
export function closeFile({ db, lock, presence }: OpenFile): void {
  for (const one of [db, lock, presence]) if (one.isOpen) one.close()
}

function onlyIfThere(path: string): URL {
  const url = pathToFileURL(path)
  url.searchParams.set('mode', 'rw')
  return url
}

function setUp(db: DatabaseSync, durability: 'power' | 'process'): void {
  // Of a new file; one that has pages already keeps what it was made with.
  db.exec('PRAGMA auto_vacuum = INCREMENTAL')
  db.exec('PRAGMA journal_mode = WAL')
  // A reopened WAL file may come up with another setting than it was left with, so it is set and read back.
  db.exec(`PRAGMA synchronous = ${durability === 'power' ? 'FULL' : 'NORMAL'}`)
  if (durability === 'power') db.exec('PRAGMA fullfsync = ON')
  const { synchronous } = db.prepare('PRAGMA synchronous').get() as { synchronous: number }
  const { journal_mode: mode } = db.prepare('PRAGMA journal_mode').get() as { journal_mode: string }
  if (synchronous === (durability === 'power' ? 2 : 1) && mode === 'wal') {
    // The journal looks after its log between commits, where it does not hold up an acknowledgement.
    db.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY')
    return
  }
  const message = `SQLite does not keep the setting that durability stands on (synchronous ${synchronous}, journal mode ${mode}).`
  throw new JournalError({ kind: 'io', message })
}

const KINDS: Readonly<Record<number, readonly [JournalFault['kind'], string]>> = {
  5: ['locked', 'is in use by another process'],
  8: ['read-only', 'cannot be written: it, its folder or its file system is read-only'],
  10: ['io', 'could not be read or written'],
  11: ['corrupt', 'is damaged'],
  13: ['full', 'could not grow: the disk is full'],
  14: ['missing', 'could not be opened: the folder is missing, or may not be written to'],
  26: ['corrupt', 'is no SQLite database'],
}

// Besides those below: out of memory, interrupted, a lock that was not had.
const OF_THE_MOMENT = [6, 7, 9, 15]

/** True when the file, or the moment, is to blame; false when it is what was to be written. */
export function isOfFile(error: unknown): boolean {
  if (error instanceof JournalError) return true
  const code = codeOf(error)
  return code in KINDS || OF_THE_MOMENT.includes(code)
}

/** What an error of SQLite means for the journal. */
export function faultOf(error: unknown, file: string): JournalFault {
  if (error instanceof JournalError) return error.fault
  const [kind, what] = KINDS[codeOf(error)] ?? (['io', 'could not be used'] as const)
  return { kind, message: `${file} ${what} (${error instanceof Error ? error.message : String(error)}).` }
}
