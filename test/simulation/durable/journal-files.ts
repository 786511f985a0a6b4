/** The files of one run's journal: what a crash leaves of it, and what stands in it. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type JournalSetup, RUN_SPAN, STATES } from '../../../src/rules/journal-protocol.ts'
import type { JobState } from '../../../src/words/job.ts'
import { type OpenFile, openFile } from '../../../workers/journal/file.ts'
import type { DiskFault } from '../plan.ts'
import { KeptDatabase } from './kept-database.ts'

// In memory where there is such a folder: a process that dies loses nothing that the system has.
const SHM = '/dev/shm'

/** One job as the file has it. */
export interface StoredJob {
  readonly id: string
  readonly state: JobState
  readonly isOwned: boolean
  readonly attempts: number
  readonly failures: number
  readonly crashes: number
  readonly isSuspect: boolean
  readonly due: number | null
}

/** What a journal writes to in the course of a run. */
export interface Disk {
  /** The path that a journal opens. */
  readonly path: string
  open(setup: JournalSetup): OpenFile
  /** It refuses from now on, or (undefined) does so no more. False where that is not done. */
  refuses(fault: DiskFault | undefined): boolean
  /** The process has died, and has closed nothing. What it leaves is forgotten when it has been read. */
  crashed(): { readonly forget: () => void }
  /** What stands there while no journal has it open. */
  closed(): Map<string, StoredJob>
  remove(): void
}

const spare: KeptDatabase[] = []

/** A disk without files: runs one after the other share its database, which each leaves empty. */
export class JournalInMemory implements Disk {
  readonly path = 'journal.sqlite'
  readonly #db = spare.pop() ?? new KeptDatabase()

  open(setup: JournalSetup): OpenFile {
    return this.#db.open(setup)
  }

  refuses(fault: DiskFault | undefined): boolean {
    this.#db.fault = fault
    return true
  }

  crashed(): { readonly forget: () => void } {
    return { forget() {} }
  }

  closed(): Map<string, StoredJob> {
    const { db } = this.#db.open({ file: this.path })
    try {
      return readJobs(db)
    } finally {
      db.close()
    }
  }

  remove(): void {
    this.#db.clear()
    spare.push(this.#db)
  }
}

/** The journal of one run. */
export class JournalFiles implements Disk {
  readonly #folder = mkdtempSync(join(existsSync(SHM) ? SHM : tmpdir(), 'aftertask-simulation-'))
  #files = 0
  #path = this.#next()

  get path(): string {
    return this.#path
  }

  open(setup: JournalSetup): OpenFile {
    return openFile(setup)
  }

  refuses(): boolean {
    return false
  }

  /** The process has died: what the system has of its file goes on as another, for the old one may still be open. */
  crashed(): { readonly forget: () => void } {
    const before = this.#path
    this.#path = this.#next()
    if (existsSync(before)) copyFileSync(before, this.#path)
    if (existsSync(`${before}-wal`)) copyFileSync(`${before}-wal`, `${this.#path}-wal`)
    return { forget: () => remove(before) }
  }

  closed(): Map<string, StoredJob> {
    if (!existsSync(this.#path)) return new Map()
    const db = new DatabaseSync(this.#path)
    const { tables } = db.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as { tables: number }
    const jobs = tables === 0 ? new Map<string, StoredJob>() : readJobs(db)
    db.close()
    return jobs
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #next(): string {
    return join(this.#folder, `journal-${++this.#files}.sqlite`)
  }
}

const COLUMNS = 'n, state, owner, attempts, failures, crashes, suspect, due'

/** Every job that is committed. */
export function readJobs(db: DatabaseSync): Map<string, StoredJob> {
  const prefixes = new Map<number, string>()
  for (const { run, prefix } of db.prepare('SELECT run, prefix FROM runs').all())
    prefixes.set(run as number, prefix as string)
  const jobs = new Map<string, StoredJob>()
  for (const row of db.prepare(`SELECT ${COLUMNS} FROM jobs`).all()) {
    const n = row['n'] as number
    const run = Math.floor(n / RUN_SPAN)
    const id = `${prefixes.get(run)}${(n - run * RUN_SPAN).toString(36)}`
    jobs.set(id, storedJob(id, row))
  }
  return jobs
}

const readers = new WeakMap<DatabaseSync, Record<'runOf' | 'jobOf', StatementSync>>()

/** Every event looks: what that needs is prepared once for each file. */
function readersOf(db: DatabaseSync): Record<'runOf' | 'jobOf', StatementSync> {
  let made = readers.get(db)
  if (made === undefined) {
    made = {
      runOf: db.prepare('SELECT run FROM runs WHERE prefix = ?'),
      jobOf: db.prepare(`SELECT ${COLUMNS} FROM jobs WHERE n = ?`),
    }
    readers.set(db, made)
  }
  return made
}

/** One job as the file has it at this moment. */
export function readJob(db: DatabaseSync, id: string): StoredJob | undefined {
  const dash = id.lastIndexOf('-')
  const { runOf, jobOf } = readersOf(db)
  const { run } = runOf.get(id.slice(0, dash + 1)) ?? {}
  if (typeof run !== 'number') return undefined
  const n = run * RUN_SPAN + Number.parseInt(id.slice(dash + 1), 36)
  const row = jobOf.get(n)
  return row === undefined ? undefined : storedJob(id, row)
}

function storedJob(id: string, row: Record<string, unknown>): StoredJob {
  return {
    id,
    state: STATES[row['state'] as number] as JobState,
    isOwned: row['owner'] !== 0,
    attempts: row['attempts'] as number,
    failures: row['failures'] as number,
    crashes: row['crashes'] as number,
    isSuspect: row['suspect'] === 1,
    due: row['due'] as number | null,
  }
}

function remove(path: string): void {
  for (const suffix of ['', '.lock', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}
