/**
 * Which file a journal is. SQLite goes on writing to a file that was removed, renamed or replaced, and all of that is gone
 * with the process: so what stands under its name is compared with what was opened, before each commit and every second.
 */
import { realpathSync, type Stats, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { FileIdentity, JournalFault } from '../../src/rules/journal-protocol.ts'
import { JournalError } from './journal-error.ts'

/** What stands under a name at this moment; undefined for nothing. */
export function identityOf(path: string): FileIdentity | undefined {
  const stats = look(path)
  return stats === undefined ? undefined : textOf(stats)
}

/** A path without symbolic links, so that a file has one lock whatever it is called by. */
export function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // Not made yet.
  }
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return path
  }
}

/**
 * Refuses a file that has a second name: SQLite finds the log of a file by its name, so two processes that use two names
 * do not see what the other has written, and damage the file.
 *
 * @throws JournalError
 */
export function expectOneName(path: string): void {
  const links = look(path)?.nlink ?? 1
  if (links <= 1) return
  const message = `${path} has ${links} names (hard links), and SQLite keeps the log of a file by its name: two processes would not see what the other writes. Remove the other names, or copy the file.`
  throw new JournalError({ kind: 'linked', message })
}

/** The fault of a file that is not under its name any more. */
function goneFault(path: string, now: FileIdentity | undefined): JournalFault {
  const rest = 'What is stored from now on would be gone with this process, so nothing is.'
  if (now === undefined)
    return { kind: 'missing', message: `${path} was removed or renamed while it was open. ${rest}` }
  const message = `${path} was replaced by another file while it was open. ${rest} Stop this process, and start it with the file that counts.`
  return { kind: 'replaced', message }
}

/** What a journal asks of the file that it has open. */
export type FileWatch = Pick<
  OpenIdentity,
  'identity' | 'opened' | 'fault' | 'logFault' | 'hasLostLog' | 'rests' | 'moves'
>

/** The files of an open journal. */
export class OpenIdentity {
  readonly identity: FileIdentity
  readonly #path: string
  readonly #isShared: boolean
  #log: FileIdentity | undefined
  #index: FileIdentity | undefined
  /** How the file was left with nothing in its log: nobody writes to it until something is committed. */
  #left: Pick<Stats, 'mtimeMs' | 'size'> | undefined

  /** @throws JournalError when the file is not the one that was open before. */
  constructor(path: string, isShared: boolean, before?: FileIdentity) {
    this.#path = path
    this.#isShared = isShared
    const now = identityOf(path)
    if (now === undefined || (before !== undefined && before !== now))
      throw new JournalError(goneFault(path, now))
    this.identity = now
  }

  /** SQLite has made what it keeps beside the file. */
  opened(): void {
    this.#log = identityOf(`${this.#path}-wal`)
    this.#index = identityOf(`${this.#path}-shm`)
  }

  /** What is wrong with the file's name. A few microseconds. */
  fault(): JournalFault | undefined {
    let stats: Stats | undefined
    try {
      stats = look(this.#path)
    } catch {
      // A folder that cannot be looked into tells nothing.
      return undefined
    }
    const now = stats === undefined ? undefined : textOf(stats)
    if (now !== this.identity) return goneFault(this.#path, now)
    if (stats?.size === 0) {
      const message = `${this.#path} was cut to nothing while it was open. Stop this process, and restore the file.`
      return { kind: 'replaced', message }
    }
    const left = this.#left
    if (left === undefined || (left.mtimeMs === stats?.mtimeMs && left.size === stats.size)) return undefined
    const message = `${this.#path} was written over while it was open. Nothing more is written to it: restart this process.`
    return { kind: 'replaced', message }
  }

  /** All that was committed stands in the file now, and nothing in its log. */
  rests(): void {
    if (!this.#isShared && this.fault() === undefined) this.#left = look(this.#path)
  }

  /** Something is committed, here or by a shell that has the file open: from there it comes into the file some day. */
  moves(): void {
    this.#left = undefined
  }

  /** True when what SQLite keeps beside the file was removed: whoever opens it next would not see what stands there. */
  get hasLostLog(): boolean {
    const isLost = (suffix: string, before: FileIdentity | undefined): boolean =>
      before !== undefined && identityOf(this.#path + suffix) !== before
    try {
      return isLost('-wal', this.#log) || isLost('-shm', this.#index)
    } catch {
      return false
    }
  }

  /** The fault of a shared file whose log was removed: the others go on with the old one, so it cannot be made anew. */
  logFault(): JournalFault | undefined {
    if (!(this.#isShared && this.hasLostLog)) return undefined
    const message = `What SQLite keeps beside ${this.#path} (-wal, -shm) was removed while it was open. Stop every process of the file, and start them again.`
    return { kind: 'replaced', message }
  }
}

function textOf({ dev, ino }: Stats): FileIdentity {
  return `${dev}:${ino}`
}

function look(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false })
}
