/**
 * Reads a journal and changes nothing: beside the process that owns it, or after its end. It takes no place among the runs, and
 * answers questions alone.
 */
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import {
  FROM_JOURNAL,
  type JournalSetup,
  type Opened,
  type Questions,
  TO_JOURNAL,
} from '../../src/rules/journal-protocol.ts'
import { faultOf } from './file.ts'
import { emptyReply } from './journal.ts'
import { JournalError } from './journal-error.ts'
import { Queries } from './queries.ts'
import { APPLICATION_ID, MIGRATIONS } from './schema.ts'
import { prepare } from './statements.ts'
import { TaskNumbers } from './task-numbers.ts'

/** A journal that is open for reading. */
export class JournalReader {
  readonly #file: string
  readonly #db: DatabaseSync
  readonly #queries: Queries

  /** @throws JournalError when there is no such file, or it is none of this release. */
  constructor({ file, patience }: JournalSetup) {
    this.#file = file
    if (!existsSync(file)) {
      const message = `There is no journal ${file}: expected the file that was given to sqliteBroker.`
      throw new JournalError({ kind: 'missing', message })
    }
    try {
      this.#db = new DatabaseSync(file, { readOnly: true, timeout: patience })
      expectReadable(this.#db, file)
      const sql = prepare(this.#db)
      // Every job is one of a task that is not known here: what it was is in the file.
      this.#queries = new Queries(this.#db, sql, new TaskNumbers(sql, []))
    } catch (error) {
      throw error instanceof JournalError ? error : new JournalError(faultOf(error, file), { cause: error })
    }
  }

  opened(): Opened {
    return { run: 0, identity: '', unfinished: 0, unique: [], reply: emptyReply() }
  }

  /** What to say to a message; undefined when nothing is to be said. */
  take(message: readonly unknown[]): readonly unknown[] | undefined {
    if (message[0] === TO_JOURNAL.close) {
      this.#db.close()
      return [FROM_JOURNAL.closed, null]
    }
    if (message[0] !== TO_JOURNAL.ask) return undefined
    const [, number, question, argument] = message as [number, number, keyof Questions, never]
    try {
      return [FROM_JOURNAL.answer, number, null, this.#queries.answer(question, argument)]
    } catch (error) {
      return [FROM_JOURNAL.answer, number, faultOf(error, this.#file), null]
    }
  }
}

function expectReadable(db: DatabaseSync, file: string): void {
  const { application_id: id } = db.prepare('PRAGMA application_id').get() as { application_id: number }
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
  if (id === APPLICATION_ID && version === MIGRATIONS.length) return
  const message =
    id === APPLICATION_ID
      ? `${file} has schema ${version}; this release reads ${MIGRATIONS.length}. Use the command of the release that wrote it.`
      : `${file} is no journal of aftertask.`
  throw new JournalError({ kind: 'schema', message })
}
