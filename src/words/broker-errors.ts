/** What goes wrong where jobs are kept. */
import { AftertaskError, readDetails } from './aftertask-error.ts'
import { asText, memberOf } from './describe.ts'

/**
 * This process has lost its hold on a job while it ran it, since it could not be heard of for too long: another process
 * has the job, and what became of it here does not count. `code` of `ctx.signal.reason` in such an attempt is the same.
 */
export class LeaseLostError extends AftertaskError {
  constructor(task: string) {
    super('ERR_LEASE_LOST', `The lease of a job of "${asText(task)}" was lost: another process may have it.`)
  }
}

/**
 * The broker cannot take or keep jobs at present: the disk is full, the file is read-only, its thread or server is
 * gone. It recovers by itself where that is possible; meanwhile adding a job throws this, with `status` 503.
 */
export class BrokerUnavailableError extends AftertaskError {
  /** What is wrong, in one word: `full`, `read-only`, `io`, `thread`, `closed`, `missing`, `replaced`, `taken` and the like. */
  readonly reason: string

  constructor(reason: string, message: string, options: { cause?: unknown } = {}) {
    super('ERR_BROKER_UNAVAILABLE', message, { ...readDetails(options), status: 503 })
    this.reason = reason
  }
}

/** The journal's file belongs to another process that is alive. */
export class JournalLockedError extends AftertaskError {
  /** The process that has the file, when it can be told. */
  declare readonly pid?: number
  /** The machine that it runs on. */
  declare readonly host?: string

  constructor(message: string, owner?: { readonly pid: number; readonly host: string }) {
    super('ERR_JOURNAL_LOCKED', message)
    const [pid, host] = [memberOf(owner, 'pid'), memberOf(owner, 'host')]
    if (typeof pid === 'number' && typeof host === 'string') Object.assign(this, { pid, host })
  }
}

/** The journal's file was written by a newer release of aftertask, or by something else. */
export class JournalSchemaError extends AftertaskError {
  constructor(message: string) {
    super('ERR_JOURNAL_SCHEMA', message)
  }
}

/** The journal's file is damaged, or is no SQLite database. */
export class JournalCorruptError extends AftertaskError {
  constructor(message: string) {
    super('ERR_JOURNAL_CORRUPT', message)
  }
}

/** This Node comes with a SQLite that has a fault which can damage a journal. */
export class SqliteVersionError extends AftertaskError {
  constructor(message: string) {
    super('ERR_SQLITE_VERSION', message)
  }
}
