/**
 * How much room the journal takes on the disk: the log that is written ahead, and the pages of the file that nothing
 * stands on any more. All of it happens between commits, on the journal's own thread, so no acknowledgement waits for
 * more than one short step.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { FailPoints } from './fail-points.ts'
import { isOfFile } from './file.ts'
import { type ArrayStatement, asArrays } from './statements.ts'

/** Beyond so many times its limit, the log is begun anew even if that takes waiting for whoever reads it. */
const WAITS_FOR_READERS = 4
/** Milliseconds that a reader, or another process, is waited for. */
const PATIENCE = 100
/** Free pages that stay in the file for what comes next, and how many are given back in one step. */
const RESERVE = 1024
const STEP = 256

/** Keeps the log, and the file, no larger than need be. */
export class Log {
  readonly #db: DatabaseSync
  readonly #patience: number
  readonly #failPoints: FailPoints
  readonly #limit: number
  readonly #size: ArrayStatement
  readonly #free: ArrayStatement
  /** The length of the log at which it is looked after, in pages. */
  #nextAt: number
  #length = 0

  /** `limit` is the size of the log in bytes at which what it holds goes into the file. */
  constructor(db: DatabaseSync, limit: number, patience: number, failPoints: FailPoints) {
    const { page_size: pageSize } = db.prepare('PRAGMA page_size').get() as { page_size: number }
    this.#db = db
    this.#patience = patience
    this.#failPoints = failPoints
    this.#limit = Math.max(1, Math.floor(limit / pageSize))
    this.#nextAt = this.#limit
    this.#size = asArrays(db.prepare('PRAGMA wal_checkpoint(NOOP)'))
    this.#free = asArrays(db.prepare('PRAGMA freelist_count'))
    // One large commit has made it longer: it is cut when it is begun anew.
    db.exec(`PRAGMA journal_size_limit = ${limit}`)
  }

  /** Looks after the log when enough has gathered there since the last time. */
  committed(): void {
    const length = this.#look()
    if (length < this.#nextAt) return
    this.#failPoints.at('before-checkpoint')
    this.#failPoints.during('during-checkpoint')
    this.#run('PRAGMA wal_checkpoint(PASSIVE)')
    // Where somebody reads without end it would never begin anew, and grow without bound.
    if (length > this.#limit * WAITS_FOR_READERS)
      this.#patiently(PATIENCE, () => this.#run('PRAGMA wal_checkpoint(RESTART)'))
    this.#nextAt = this.#look() + this.#limit
  }

  /** A step to be made while there is little to do; true when another is to be made. */
  giveBack(): boolean {
    const before = this.#freePages()
    if (before <= RESERVE) return false
    this.#patiently(PATIENCE, () =>
      this.#run(`PRAGMA incremental_vacuum(${Math.min(STEP, before - RESERVE)})`),
    )
    this.committed()
    // A file that was made by an older release keeps its pages, and another process may have been busy.
    const after = this.#freePages()
    return after < before && after > RESERVE
  }

  /** Empties the log: nothing is written just now. False while somebody reads in it, who is not waited for. */
  rest(): boolean {
    this.#patiently(0, () => this.#run('PRAGMA wal_checkpoint(TRUNCATE)'))
    return this.#look() === 0
  }

  #freePages(): number {
    return this.#ask(this.#free, 0) ?? 0
  }

  /** The length of the log, in pages. */
  #look(): number {
    const length = this.#ask(this.#size, 1) ?? this.#length
    // It was begun anew, by us or by another process.
    if (length < this.#length) this.#nextAt = this.#limit
    this.#length = length
    return length
  }

  #ask(statement: ArrayStatement, column: number): number | undefined {
    try {
      return statement.get()?.[column] as number | undefined
    } catch (error) {
      if (!isOfFile(error)) throw error
      return undefined
    }
  }

  #patiently(milliseconds: number, work: () => void): void {
    this.#db.exec(`PRAGMA busy_timeout = ${Math.min(milliseconds, this.#patience)}`)
    try {
      work()
    } finally {
      this.#db.exec(`PRAGMA busy_timeout = ${this.#patience}`)
    }
  }

  /** What was committed is safe in the log, and the next time takes it over. */
  #run(sql: string): void {
    try {
      this.#db.exec(sql)
    } catch (error) {
      if (!isOfFile(error)) throw error
    }
  }
}
