/** The file that processes share, from outside: who has which job, and what each commit has changed. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { RUN_SPAN, STATES } from '../../../src/rules/journal-protocol.ts'
import { isTerminal, type JobState } from '../../../src/words/job.ts'

/** A job as it stands there. `owner`: what the ids of the process start with that has it. */
export interface Row {
  readonly id: string
  readonly state: JobState
  readonly owner: string | undefined
  readonly isTwin: boolean
}

/** Hears what a commit has changed. */
export interface FileWitness {
  arrived(row: Row): void
  ended(row: Row, owner: string | undefined): void
  revived(row: Row): void
  /** A job that one process had is not its any more, and is not over. */
  moved(row: Row, from: string): void
}

/** A number that no process has. */
const NOBODY = 2 ** 30

/** The file. */
export class SharedFile {
  #jobs = new Map<string, Row>()
  readonly #db: DatabaseSync
  readonly #witness: FileWitness
  readonly #version: StatementSync
  #rows: StatementSync | undefined
  #seen = -1

  constructor(path: string, witness: FileWitness) {
    this.#db = new DatabaseSync(path)
    this.#witness = witness
    this.#version = this.#db.prepare('PRAGMA data_version')
  }

  get(id: string): Row | undefined {
    return this.#jobs.get(id)
  }

  /** Whoever asks for the process by its pid finds none: as far as the file tells, all share that of the simulation. */
  died(prefix: string): void {
    if (this.#isMade()) this.#db.prepare('UPDATE runs SET pid = ? WHERE prefix = ?').run(NOBODY, prefix)
  }

  /** Looks what has been committed. */
  look(): void {
    const { data_version: version } = this.#version.get() as { data_version: number }
    if (version === this.#seen || !this.#isMade()) return
    this.#seen = version
    const before = this.#jobs
    this.#jobs = this.#read()
    // A twin ends in the same commit as the job that it is equal to.
    const isTwin = (row: Row): boolean => row.isTwin || before.get(row.id)?.isTwin === true
    const rows = [...this.#jobs.values()]
    for (const row of rows) if (!isTwin(row)) this.#compare(before.get(row.id), row)
    for (const row of rows) if (isTwin(row)) this.#compare(before.get(row.id), row)
  }

  #compare(before: Row | undefined, row: Row): void {
    const isOver = isTerminal(row.state)
    if (before === undefined) this.#witness.arrived(row)
    const wasOver = before !== undefined && isTerminal(before.state)
    if (wasOver && !isOver) this.#witness.revived(row)
    const had = before?.owner
    if (had !== undefined && had !== row.owner && !isOver) this.#witness.moved(row, had)
    if (isOver && !wasOver)
      this.#witness.ended({ ...row, isTwin: row.isTwin || before?.isTwin === true }, had)
  }

  #isMade(): boolean {
    if (this.#rows !== undefined) return true
    const made = this.#db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'jobs'").get()
    if (made === undefined) return false
    this.#rows = this.#db.prepare('SELECT n, state, owner, twin FROM jobs')
    return true
  }

  #read(): Map<string, Row> {
    const prefixes = new Map<number, string>()
    for (const { run, prefix } of this.#db.prepare('SELECT run, prefix FROM runs').all())
      prefixes.set(run as number, prefix as string)
    const jobs = new Map<string, Row>()
    for (const row of this.#rows?.all() ?? []) {
      const n = row['n'] as number
      const run = Math.floor(n / RUN_SPAN)
      const id = `${prefixes.get(run)}${(n - run * RUN_SPAN).toString(36)}`
      const owner = prefixes.get(row['owner'] as number)
      jobs.set(id, {
        id,
        state: STATES[row['state'] as number] as JobState,
        owner,
        isTwin: row['twin'] !== null,
      })
    }
    return jobs
  }

  close(): void {
    this.#db.close()
  }
}
