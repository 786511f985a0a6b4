/** The files of one run's journal: what a crash leaves of it, and what stands in it. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { RUN_SPAN, STATES } from '../../../src/rules/journal-protocol.ts'
import type { JobState } from '../../../src/words/job.ts'

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

/** The journal of one run. */
export class JournalFiles {
  readonly #folder = mkdtempSync(join(existsSync(SHM) ? SHM : tmpdir(), 'aftertask-simulation-'))
  #files = 0
  #path = this.#next()

  get path(): string {
    return this.#path
  }

  /** The process has died: what the system has of its file goes on as another, for the old one may still be open. */
  crashed(): { readonly forget: () => void } {
    const before = this.#path
    this.#path = this.#next()
    if (existsSync(before)) copyFileSync(before, this.#path)
    if (existsSync(`${before}-wal`)) copyFileSync(`${before}-wal`, `${this.#path}-wal`)
    return { forget: () => remove(before) }
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
