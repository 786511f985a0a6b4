/** Faults that are seeded on purpose into the journal and its broker, so that the simulation shows that it finds them. */
import type { DatabaseSync } from 'node:sqlite'
import { type JournalSetup, OP, OP_LENGTH, type Reply } from '../../../src/rules/journal-protocol.ts'
import { type OpenFile, openFile } from '../../../workers/journal/file.ts'
import { Journal } from '../../../workers/journal/journal.ts'
import type { DurableSubject } from './life.ts'

type Batches = Parameters<Journal['write']>[0]

/** A file that something is done to whenever a journal opens it. */
function tampered(tamper: (db: DatabaseSync) => void): DurableSubject {
  return {
    openFile(setup) {
      const file = openFile(setup)
      tamper(file.db)
      return file
    },
  }
}

/** A journal that never carries out some operations. */
function deafTo(isUnheard: (ops: readonly unknown[], at: number) => boolean): DurableSubject {
  class Deaf extends Journal {
    override write(batches: Batches): Reply {
      const heard = batches.map((batch) => {
        const ops: unknown[] = []
        for (let at = 0; at < batch.ops.length; ) {
          const length = OP_LENGTH[batch.ops[at] as number] as number
          if (!isUnheard(batch.ops, at)) ops.push(...batch.ops.slice(at, at + length))
          at += length
        }
        return { ...batch, ops }
      })
      return super.write(heard)
    }
  }
  return { openJournal: (setup, file) => new Deaf(setup, file) }
}

/** A file whose transactions are committed only when the next one begins: what is told before is not yet so. */
function committedLate(setup: JournalSetup): OpenFile {
  const file = openFile(setup)
  const { db } = file
  const prepare = db.prepare.bind(db)
  const exec = db.exec.bind(db)
  const statement = (run: () => void): never => ({ run, setReturnArrays() {} }) as unknown as never
  const commit = (): void => {
    if (db.isTransaction) exec('COMMIT')
  }
  db.prepare = (sql) => {
    if (sql === 'COMMIT') return statement(() => {})
    if (!sql.startsWith('BEGIN')) return prepare(sql)
    return statement(() => {
      commit()
      exec(sql)
    })
  }
  db.exec = (sql) => {
    commit()
    exec(sql)
  }
  return file
}

class UniqueForgetting extends Journal {
  override open(): ReturnType<Journal['open']> {
    return { ...super.open(), unique: [] }
  }
}

const CANCELLED = 7

/** Each fault, and what the simulation should say of it. */
export const durableMutants: Readonly<
  Record<string, { readonly subject: DurableSubject; readonly says: RegExp }>
> = {
  'an acknowledgement goes out before its commit': {
    subject: { openFile: committedLate },
    says: /was stored, and is not in the file|was told to be|ran, and is not in the file/,
  },
  'a suspect is sent before it is on record that it runs': {
    subject: deafTo((ops, at) => ops[at] === OP.mark),
    says: /is not on record as running/,
  },
  'a job that goes on after a crash has forgotten the line of its key': {
    subject: tampered((db) => db.exec('DELETE FROM lines')),
    says: /holds key|run at once, key|was first, key|did not end/,
  },
  'a cancel is told and not written': {
    subject: deafTo((ops, at) => ops[at] === OP.finish && ops[at + 3] === CANCELLED),
    says: /is told to be cancelled, and in the file/,
  },
  'a job that ran when its process died is left to a process that is no more': {
    subject: tampered((db) => db.exec('UPDATE jobs SET state = 2, due = NULL, owner = 0 WHERE state = 4')),
    says: /did not end|stats\(\)\.pending/,
  },
  'a batch forgets after a crash which of its jobs comes first': {
    subject: tampered((db) =>
      db.exec('UPDATE jobs SET after = NULL, state = 3 WHERE state = 1 AND after IS NOT NULL'),
    ),
    says: /of its batch was over/,
  },
  'a retry that is due later is forgotten in a crash': {
    subject: tampered((db) => db.exec('UPDATE jobs SET due = 0 WHERE state = 5')),
    says: /before its retry is due|before its time/,
  },
  'unique keys are free again after a crash': {
    subject: { openJournal: (setup, file) => new UniqueForgetting(setup, file) },
    says: /was accepted although|completed although its handler/,
  },
}
