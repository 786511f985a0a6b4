/**
 * A journal's database without a file. Opening a file, its schema and a hundred statements take longer than all that a
 * short process does with them: here the database and its statements stay, and each journal that opens it has a face
 * of its own that closes.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import type { JournalFault, JournalSetup } from '../../../src/rules/journal-protocol.ts'
import type { OpenFile } from '../../../workers/journal/file.ts'
import { JournalError } from '../../../workers/journal/journal-error.ts'
import { migrate } from '../../../workers/journal/schema.ts'
import type { DiskFault } from '../plan.ts'

const MISSING: JournalFault = { kind: 'missing', message: 'The file was renamed.' }

/** The database of one run after the other. */
export class KeptDatabase {
  readonly #db = new DatabaseSync(':memory:')
  readonly #rows = new Map<string, StatementSync>()
  readonly #arrays = new Map<string, StatementSync>()
  readonly #tables: readonly string[]
  #face: Face | undefined
  /** What it refuses at present. */
  fault: DiskFault | undefined

  constructor() {
    migrate(this.#db, ':memory:')
    const tables = this.#db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
    this.#tables = tables.map(({ name }) => String(name))
  }

  /** Empties it, for the next run. */
  clear(): void {
    this.fault = undefined
    this.#face?.close()
    for (const table of this.#tables) this.#db.exec(`DELETE FROM ${table}`)
  }

  /** Opens it for a journal. One that has it open keeps others out, as a file does. */
  open({ file }: Pick<JournalSetup, 'file'>): OpenFile {
    if (this.fault === 'missing') throw new JournalError(MISSING)
    if (this.#face?.isOpen) throw new JournalError({ kind: 'locked', message: `${file} is in use.` })
    const missing = (): JournalFault | undefined => (this.fault === 'missing' ? MISSING : undefined)
    const face = new Face(this.#db, (sql, isArrays) => {
      this.#expectRoom(sql)
      return this.#statement(sql, isArrays)
    })
    this.#face = face
    const nothing = { isOpen: false, close() {} } as DatabaseSync
    const identity = {
      identity: 'memory',
      opened() {},
      fault: missing,
      logFault: () => undefined,
      hasLostLog: false,
      rests() {},
      moves() {},
    }
    return { db: face as unknown as DatabaseSync, lock: nothing, lockId: '', presence: nothing, identity }
  }

  #expectRoom(sql: string): void {
    if (this.fault === 'full' && sql.startsWith('INSERT OR IGNORE INTO jobs')) throw sqliteError(13, 'full')
    if (this.fault === 'io' && sql === 'COMMIT') throw sqliteError(10, 'disk I/O error')
  }

  #statement(sql: string, isArrays: boolean): StatementSync {
    const made = isArrays ? this.#arrays : this.#rows
    let statement = made.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      statement.setReturnArrays(isArrays)
      made.set(sql, statement)
    }
    return statement
  }
}

/** The database as one journal sees it, until it closes. */
class Face {
  isOpen = true
  readonly #db: DatabaseSync
  readonly #statement: (sql: string, isArrays: boolean) => StatementSync

  constructor(db: DatabaseSync, statement: (sql: string, isArrays: boolean) => StatementSync) {
    this.#db = db
    this.#statement = statement
  }

  get isTransaction(): boolean {
    return this.#db.isTransaction
  }

  prepare(sql: string): FaceStatement {
    return new FaceStatement((isArrays) => {
      if (!this.isOpen) throw new Error('database is not open')
      return this.#statement(sql, isArrays)
    })
  }

  exec(sql: string): void {
    if (!this.isOpen) throw new Error('database is not open')
    this.#db.exec(sql)
  }

  /** What is not committed is gone. */
  close(): void {
    if (this.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
    this.isOpen = false
  }
}

/** What the journal uses of a statement, which is prepared when it is first used. */
class FaceStatement {
  readonly #of: (isArrays: boolean) => StatementSync
  #isArrays = false

  constructor(of: (isArrays: boolean) => StatementSync) {
    this.#of = of
  }

  setReturnArrays(isArrays: boolean): void {
    this.#isArrays = isArrays
  }

  get(...values: SQLInputValue[]): unknown {
    return this.#of(this.#isArrays).get(...values)
  }

  all(...values: SQLInputValue[]): unknown[] {
    return this.#of(this.#isArrays).all(...values)
  }

  run(...values: SQLInputValue[]): unknown {
    return this.#of(this.#isArrays).run(...values)
  }
}

function sqliteError(errcode: number, message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode })
}
