/**
 * Keeps a second process out while the first is there. A second, empty database file is the lock: SQLite's own locks go
 * away with the process, however it ends, and the journal itself stays readable for a backup. That is a name in a folder,
 * which somebody may remove; so whose the file is stands in the file as well (`owners.ts`).
 */
import { chmodSync, closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { identityOf } from './identity.ts'
import { codeOf, JournalError } from './journal-error.ts'
import { isThisProcess, type Presence } from './place.ts'

/** Makes a file with these permissions, unless it is there: what SQLite makes beside it takes them over. */
export function make(path: string, mode: number): void {
  let made: number
  try {
    made = openSync(path, 'wx', mode)
  } catch {
    // It is there; or it cannot be made, which SQLite says better.
    return
  }
  closeSync(made)
  // The umask has taken from what was asked for.
  chmodSync(path, mode)
}

/** Takes the lock of a file, which is told by what stands in the file if another process has it. */
export function takeLock(
  path: string,
  isShared: boolean,
  mode: number,
): { readonly lock: DatabaseSync; readonly lockId: string } {
  const name = `${path}.lock`
  make(name, mode)
  const lock = new DatabaseSync(name, { timeout: 0 })
  try {
    // Nothing is ever written to it, so it needs no journal of its own.
    lock.exec('PRAGMA journal_mode = MEMORY')
    lock.exec(isShared ? 'BEGIN; SELECT count(*) FROM sqlite_schema' : 'BEGIN EXCLUSIVE')
    if (isShared) lock.prepare('SELECT count(*) FROM sqlite_schema').get()
    return { lock, lockId: identityOf(name) ?? '' }
  } catch (error) {
    lock.close()
    if (codeOf(error) !== 5) throw error
    throw lockedBy(path, isShared, ownerOf(path))
  }
}

/** The error of a file that another process has. `isCopy`: it has another, of which this one is a copy. */
export function lockedBy(
  file: string,
  isShared: boolean,
  owner: Presence | undefined,
  isCopy = false,
): JournalError {
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
  const message = isCopy
    ? `${file} is a copy of a journal that is in use by ${who}. Its jobs would run twice: stop that process before you open the copy.`
    : `${file} is in use by ${who}. ${remedy}`
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
