/** The journal's schema, by version: a file of an older version is brought up to date when it is opened. */
import type { DatabaseSync } from 'node:sqlite'
import { JournalError } from './journal-error.ts'

// 'aftr': tells a journal from any other SQLite file.
export const APPLICATION_ID = 0x61_66_74_72

/**
 * Jobs are one table, and what is looked for often has a partial index that holds only the rows in question: a
 * job that goes straight to a thread enters none of them but `owned` and, once it is over, `ended`.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT, prefix TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL,
    boot TEXT NOT NULL, started TEXT NOT NULL, opened REAL NOT NULL, seen REAL NOT NULL, closed REAL
  ) STRICT;
  CREATE INDEX runs_by_prefix ON runs (prefix);
  CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE jobs (
    n INTEGER PRIMARY KEY, task INTEGER NOT NULL, state INTEGER NOT NULL, owner INTEGER NOT NULL,
    rank REAL NOT NULL, priority REAL NOT NULL, accepted REAL NOT NULL, ready REAL NOT NULL, due REAL,
    attempts INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
    suspect INTEGER NOT NULL DEFAULT 0, after INTEGER, stops INTEGER NOT NULL DEFAULT 0, key TEXT, line INTEGER,
    unique_key TEXT, unique_until REAL, expires REAL, payload ANY, result ANY, rest TEXT,
    started REAL, finished REAL, thread INTEGER, cpu REAL, reason TEXT, error TEXT
  ) STRICT;
  CREATE INDEX spilled ON jobs (task, rank, n) WHERE state = 3 AND owner = 0;
  CREATE INDEX owned ON jobs (owner, state) WHERE owner <> 0;
  CREATE INDEX waiting ON jobs (state) WHERE state = 1;
  CREATE INDEX due ON jobs (state, due) WHERE state IN (2, 5);
  CREATE INDEX expiring ON jobs (expires) WHERE expires IS NOT NULL;
  CREATE INDEX following ON jobs (after) WHERE after IS NOT NULL;
  CREATE INDEX in_line ON jobs (key, line) WHERE line IS NOT NULL;
  CREATE UNIQUE INDEX held_keys ON jobs (unique_key) WHERE unique_key IS NOT NULL;
  CREATE INDEX ended ON jobs (finished, state) WHERE finished IS NOT NULL AND state <> 9;
  CREATE INDEX dead ON jobs (finished) WHERE state = 9;
  CREATE TABLE lines (key TEXT PRIMARY KEY, holder INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE attempts (
    n INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL, outcome TEXT NOT NULL, started REAL,
    ended REAL, thread INTEGER, cpu REAL, error TEXT, PRIMARY KEY (n, number)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE schedules (id TEXT PRIMARY KEY, definition TEXT NOT NULL, next_at REAL NOT NULL) STRICT, WITHOUT ROWID;
  `,
  // What one process of a shared file has to tell another, and jobs that end as the one does that they are equal to.
  `
  CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, kind INTEGER NOT NULL, n INTEGER NOT NULL, text TEXT
  ) STRICT;
  CREATE INDEX notices_by_run ON notices (run, id);
  CREATE INDEX notices_by_job ON notices (n);
  ALTER TABLE jobs ADD COLUMN twin INTEGER;
  CREATE INDEX twins ON jobs (twin) WHERE twin IS NOT NULL;
  `,
  // How far a job was when its process ended.
  'ALTER TABLE jobs ADD COLUMN progress ANY',
  // Finished jobs of a task that says itself how long those are kept stand on a shelf of their own, under its number.
  `
  ALTER TABLE jobs ADD COLUMN shelf INTEGER NOT NULL DEFAULT 0;
  DROP INDEX ended;
  CREATE INDEX ended ON jobs (shelf, finished, state) WHERE finished IS NOT NULL AND state <> 9;
  `,
  // In which namespace of pids the pid of a process means something.
  "ALTER TABLE runs ADD COLUMN space TEXT NOT NULL DEFAULT ''",
  // What tells whose the file is: whether a run lets others in, which lock it has and which file, and who asks whether it
  // is there. Of a schedule: the run of the journal whose turn it is to add what is due, and until when.
  `
  ALTER TABLE runs ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN lock TEXT NOT NULL DEFAULT '';
  ALTER TABLE runs ADD COLUMN file TEXT NOT NULL DEFAULT '';
  ALTER TABLE runs ADD COLUMN knocked REAL;
  ALTER TABLE schedules ADD COLUMN turn INTEGER;
  ALTER TABLE schedules ADD COLUMN turn_until REAL;
  `,
  // Counts the changes of schedules, so that the processes of a shared file need not read all of them to know of one.
  `
  CREATE TABLE versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TRIGGER schedule_set AFTER INSERT ON schedules BEGIN
    INSERT INTO versions VALUES ('schedules', 1) ON CONFLICT (name) DO UPDATE SET version = version + 1;
  END;
  CREATE TRIGGER schedule_changed AFTER UPDATE OF definition, next_at ON schedules BEGIN
    INSERT INTO versions VALUES ('schedules', 1) ON CONFLICT (name) DO UPDATE SET version = version + 1;
  END;
  CREATE TRIGGER schedule_removed AFTER DELETE ON schedules BEGIN
    INSERT INTO versions VALUES ('schedules', 1) ON CONFLICT (name) DO UPDATE SET version = version + 1;
  END;
  `,
  // By how much the times that a run wrote are ahead of the wall clock, since somebody has set that one.
  'ALTER TABLE runs ADD COLUMN ahead REAL NOT NULL DEFAULT 0',
  // Jobs are counted and looked for by task in what the indexes themselves hold.
  `
  DROP INDEX owned;
  DROP INDEX waiting;
  DROP INDEX due;
  DROP INDEX ended;
  DROP INDEX dead;
  CREATE INDEX owned ON jobs (owner, state, task) WHERE owner <> 0;
  CREATE INDEX waiting ON jobs (state, task) WHERE state = 1;
  CREATE INDEX due ON jobs (state, due, task) WHERE state IN (2, 5);
  CREATE INDEX ended ON jobs (shelf, finished, state, task) WHERE finished IS NOT NULL AND state <> 9;
  CREATE INDEX dead ON jobs (finished, task) WHERE state = 9;
  `,
  // What jobs have said, as it came: so many lines in one row. `dropped`: lines of the job before these, which are not kept.
  `
  CREATE TABLE logs (
    n INTEGER NOT NULL, number INTEGER NOT NULL, lines INTEGER NOT NULL, bytes INTEGER NOT NULL, dropped INTEGER NOT NULL,
    text TEXT NOT NULL, PRIMARY KEY (n, number)
  ) STRICT, WITHOUT ROWID;
  `,
]

/** Brings the file to the newest version; refuses one that a newer release has written, or that is none of ours. */
export function migrate(db: DatabaseSync, file: string): void {
  db.exec('BEGIN IMMEDIATE')
  try {
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
    const { application_id: id } = db.prepare('PRAGMA application_id').get() as { application_id: number }
    const { tables } = db.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number }
    if (id !== APPLICATION_ID && tables > 0) {
      const message = `${file} is a SQLite database of something else; give the journal a file of its own.`
      throw new JournalError({ kind: 'schema', message })
    }
    if (version > MIGRATIONS.length) {
      const message = `${file} was written by a newer release of aftertask (schema ${version}; this one knows ${MIGRATIONS.length}). Use that release, or another file.`
      throw new JournalError({ kind: 'schema', message })
    }
    for (const migration of MIGRATIONS.slice(version)) db.exec(migration)
    if (version < MIGRATIONS.length) {
      db.exec(`PRAGMA user_version = ${MIGRATIONS.length}; PRAGMA application_id = ${APPLICATION_ID}`)
    }
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}
