/** Opens the journal's file: the lock, the settings that durability stands on, and the schema. */
import { DatabaseSync } from 'node:sqlite'
import type { JournalFault, JournalSetup } from '../../src/rules/journal-protocol.ts'
import { JournalError } from './journal-error.ts'
import { isThisProcess, type Presence } from './place.ts'
import { migrate } from './schema.ts'
import { checkSqlite } from './sqlite-version.ts'

/** A file that is open, and the lock that says whose it is. */
export interface OpenFile {
  readonly db: DatabaseSync
  readonly lock: DatabaseSync
}

/** Opens the file, or says why not. */
export function openFile(setup: JournalSetup): OpenFile {
  const { file, durability, isShared, patience, maxPages, sqliteVersion } = setup
  let lock: DatabaseSync | undefined
  let db: DatabaseSync | undefined
  try {
    checkSqlite(sqliteVersion)
    lock = takeLock(file, isShared)
    db = new DatabaseSync(file, { timeout: patience })
    setUp(db, durability)
    migrate(db, file)
    if (maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${maxPages}`)
    return { db, lock }
  } catch (error) {
    if (db?.isOpen) db.close()
    if (lock?.isOpen) lock.close()
    throw error instanceof JournalError ? error : new JournalError(faultOf(error, file), { cause: error })
  }
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

/**
 * A second, empty database file is the lock: SQLite's own locks go away with the process, however it ends, and the
 * journal itself stays readable for a backup.
 */
function takeLock(file: string, isShared: boolean): DatabaseSync {
  const lock = new DatabaseSync(`${file}.lock`, { timeout: 0 })
  try {
    // Nothing is ever written to it, so it needs no journal of its own.
    lock.exec('PRAGMA journal_mode = MEMORY')
    lock.exec(isShared ? 'BEGIN; SELECT count(*) FROM sqlite_schema' : 'BEGIN EXCLUSIVE')
    if (isShared) lock.prepare('SELECT count(*) FROM sqlite_schema').get()
    return lock
  } catch (error) {
    lock.close()
    if (codeOf(error) !== 5) throw error
    throw lockedBy(file, isShared)
  }
}

function lockedBy(file: string, isShared: boolean): JournalError {
  const owner = ownerOf(file)
  const advice = isShared
    ? 'It does not share the file: give every process of the file shared: true.'
    : 'Stop it first, give each process a file of its own, or give all of them shared: true.'
  const isSelf = owner !== undefined && isThisProcess(owner)
  const who = isSelf
    ? `this process (${owner.pid}): another runtime has it`
    : owner === undefined
      ? 'another process'
      : `process ${owner.pid} on ${owner.host}`
  const remedy = isSelf && !isShared ? 'Use one runtime, or give each a file of its own.' : advice
  const message = `${file} is in use by ${who}. ${remedy}`
  return new JournalError({
    kind: 'locked',
    message,
    ...(owner && { owner: { pid: owner.pid, host: owner.host } }),
  })
}

function ownerOf(file: string): Presence | undefined {
  try {
    const db = new DatabaseSync(file, { readOnly: true, timeout: 1000 })
    try {
      const row = db.prepare('SELECT * FROM runs WHERE closed IS NULL ORDER BY run DESC LIMIT 1').get()
      return row as Presence | undefined
    } finally {
      db.close()
    }
  } catch {
    // It may have the lock and not the schema yet: then it cannot be named.
    return undefined
  }
}

/** SQLite's primary result code; 0 for an error that is not its own. */
export function codeOf(error: unknown): number {
  const code = error instanceof Error ? Reflect.get(error, 'errcode') : undefined
  return typeof code === 'number' ? code & 0xff : 0
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
  const code = codeOf(error)
  return code in KINDS || OF_THE_MOMENT.includes(code)
}

/** What an error of SQLite means for the journal. */
export function faultOf(error: unknown, file: string): JournalFault {
  const [kind, what] = KINDS[codeOf(error)] ?? (['io', 'could not be used'] as const)
  return { kind, message: `${file} ${what} (${error instanceof Error ? error.message : String(error)}).` }
}
