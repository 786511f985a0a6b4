/** The processes of the file: who is at it, who is gone, and what becomes of the jobs that a dead one had. */
import type { DatabaseSync } from 'node:sqlite'
import {
  AVAILABLE,
  DEAD,
  errorText,
  HELD,
  type JournalSetup,
  RUN_SPAN,
  RUNNING,
} from '../../src/rules/journal-protocol.ts'
import { toWireError } from '../../src/rules/wire-error.ts'
import { ProcessExitedError } from '../../src/words/errors.ts'
import type { Endings } from './endings.ts'
import { factsOf } from './job-facts.ts'
import type { Jobs } from './jobs.ts'
import type { CancelNotice, Notices } from './notices.ts'
import { isAlive, ownPresence, type Presence } from './place.ts'
import { type ArrayStatement, asArrays } from './statements.ts'

/** How often a process of a shared file says that it is there, in milliseconds. */
const BEAT = 5000
/** How often it looks whether the others are there. */
const LOOK = 250

interface Run extends Presence {
  readonly run: number
  readonly closed: number | null
}

const COLUMNS = 'run, pid, host, boot, space, started, seen, closed'

/** Enters this run, takes over what dead runs have left, and leaves. */
export class Owners {
  readonly #jobs: Jobs
  readonly #endings: Endings
  readonly #notices: Notices
  readonly #setup: JournalSetup
  readonly #sql: Record<
    'insert' | 'open' | 'beat' | 'close' | 'owners' | 'run' | 'closeRun' | 'isClosed' | 'reopen' | 'ended',
    ArrayStatement
  >
  #beatAt = 0
  #lookedAt = 0

  constructor(
    db: DatabaseSync,
    parts: { jobs: Jobs; endings: Endings; notices: Notices },
    setup: JournalSetup,
  ) {
    const { jobs, endings, notices } = parts
    this.#jobs = jobs
    this.#endings = endings
    this.#notices = notices
    this.#setup = setup
    const prepare = (sql: string): ArrayStatement => asArrays(db.prepare(sql))
    this.#sql = {
      insert: prepare(
        'INSERT INTO runs (prefix, pid, host, boot, space, started, opened, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING run',
      ),
      open: prepare(`SELECT ${COLUMNS} FROM runs WHERE closed IS NULL AND run <> ?`),
      beat: prepare('UPDATE runs SET seen = ? WHERE run = ?'),
      close: prepare('UPDATE runs SET closed = ? WHERE run = ?'),
      closeRun: prepare('UPDATE runs SET closed = ? WHERE run = ? AND closed IS NULL'),
      isClosed: prepare('SELECT 1 FROM runs WHERE run = ? AND closed IS NOT NULL'),
      reopen: prepare('UPDATE runs SET closed = NULL, seen = ? WHERE run = ?'),
      ended: prepare('SELECT n FROM jobs WHERE finished IS NOT NULL AND n BETWEEN ? AND ?'),
      owners: prepare(
        'SELECT run FROM runs WHERE closed IS NULL UNION SELECT DISTINCT owner FROM jobs WHERE owner <> 0',
      ),
      run: prepare(`SELECT ${COLUMNS} FROM runs WHERE run = ?`),
    }
  }

  /** Enters the run of this process, or the one that it goes on with; returns its number. */
  enter(wall: number): number {
    const { resume, idPrefix } = this.#setup
    this.#beatAt = wall
    if (resume !== undefined) {
      this.#sql.beat.run(wall, resume.run)
      return resume.run
    }
    const { pid, host, boot, space, started } = ownPresence(wall)
    const row = this.#sql.insert.get(idPrefix, pid, host, boot, space, started, wall, wall)
    return row?.[0] as number
  }

  /** Takes over from runs that are dead; `window` are the jobs that the event loop's side of a resumed run still has. */
  recover(wall: number, window?: readonly number[]): void {
    if (window !== undefined) {
      this.#resume(new Set(window))
      this.#jobs.transaction.toTell.push(...this.#notices.takeEnds())
    }
    this.#takeOver(wall)
  }

  /** In a shared file: says that we are there, and looks whether the others are. */
  lookAround(wall: number): void {
    if (wall - this.#beatAt >= BEAT) {
      this.#beatAt = wall
      this.#sql.beat.run(wall, this.#jobs.transaction.run)
    }
    this.#takeOver(wall)
  }

  /** Others may have taken us for dead, as after a long pause of the machine: what we had is theirs, and we begin anew. */
  stayOpen(wall: number): void {
    const { run, toTell } = this.#jobs.transaction
    if (this.#sql.isClosed.get(run) === undefined) return
    this.#sql.reopen.run(wall, run)
    // What they have to say to us was not kept.
    for (const [n] of this.#sql.ended.all(run * RUN_SPAN, (run + 1) * RUN_SPAN - 1)) toTell.push(n as number)
  }

  /** Whether it is time to say that we are there, or another process is gone. */
  hasWork(wall: number): boolean {
    if (wall - this.#beatAt >= BEAT) return true
    if (Math.abs(wall - this.#lookedAt) < LOOK) return false
    this.#lookedAt = wall
    const runs = this.#sql.open.all(this.#jobs.transaction.run).map(toRun)
    return runs.some((run) => !isAlive(run, wall))
  }

  /** Gives back what is granted but has not run, and closes the run. */
  leave(wall: number): void {
    const { transaction, sql } = this.#jobs
    const { run } = transaction
    sql.begin.run()
    for (const [n, state] of sql.owned.all(run) as [number, number][]) {
      if (state === HELD) this.#jobs.letGoOn(n)
    }
    this.#cancelFor(run)
    // Nothing is granted to a run that is closed.
    for (const [n] of sql.owned.all(run) as [number][]) sql.giveUp.run(n)
    this.#sql.close.run(wall, run)
    sql.commit.run()
  }

  #takeOver(wall: number): void {
    for (const [number] of this.#sql.owners.all() as [number][]) {
      if (number === this.#jobs.transaction.run) continue
      const row = this.#sql.run.get(number)
      const run = row && toRun(row)
      if (run !== undefined && run.closed === null && this.#setup.isShared && isAlive(run, wall)) continue
      this.#takeFrom(number, run !== undefined && run.closed !== null)
      this.#sql.closeRun.run(wall, number)
      // It may have been told that the time of jobs is over, and has not ended them.
      this.#jobs.sql.expireAgain.run()
    }
  }

  #takeFrom(run: number, isClosed: boolean): void {
    const { sql } = this.#jobs
    this.#cancelFor(run)
    for (const [n, state] of sql.owned.all(run) as [number, number][]) {
      if (state === HELD) this.#jobs.letGoOn(n)
      else if (state === RUNNING && !isClosed) this.#charge(n)
      // It may have been sent with others, and so may have been what ended the process: next time it travels alone.
      else this.#jobs.reclaim(n, isClosed ? 0 : 1)
    }
  }

  /** A run that is over was asked to cancel jobs: those that it has not ended are. */
  #cancelFor(run: number): void {
    for (const { n, text } of this.#notices.clear(run)) this.#cancelHere(n, run, text)
  }

  #cancelHere(n: number, run: number, text: CancelNotice['text']): void {
    const facts = factsOf(this.#jobs.sql, this.#jobs.numbers, n)
    if (facts !== undefined && (facts.owner === run || facts.owner === 0)) {
      this.#endings.cancelHere(n, facts, text)
    }
  }

  /** A process ended while it ran this job. */
  #charge(n: number): void {
    const { sql, numbers } = this.#jobs
    const [attempts, before, started] = sql.running.get(n) as [number, number, number | null]
    const task = numbers.tasks[numbers.indexOf(sql.row.get(n)?.[1] as number)]
    const crashes = before + 1
    const error = errorText(toWireError(new ProcessExitedError(task?.name ?? 'a task')))
    sql.attempt.run(n, attempts, 'crashed', started, null, null, null, error)
    const isFinal = task !== undefined && (task.onCrash === 'fail' || crashes >= task.maxCrashes)
    if (isFinal) this.#endings.end(n, { state: DEAD, reason: null, error, crashes })
    else this.#jobs.reclaim(n, 1, crashes, error)
  }

  /** Our own run goes on: what was granted without the event loop's hearing of it is told again. */
  #resume(window: ReadonlySet<number>): void {
    const { sql, windows, numbers, transaction } = this.#jobs
    for (const [n, state] of sql.owned.all(transaction.run) as [number, number][]) {
      if (state !== AVAILABLE && state !== RUNNING) continue
      const facts = sql.facts.get(n)
      windows.grant(numbers.indexOf(facts?.[0] as number), facts?.[8] as number)
      if (!window.has(this.#jobs.seqOf(n))) transaction.toSend.push(n)
    }
  }
}

function toRun(row: readonly unknown[]): Run {
  type Columns = [number, number, string, string, string, string, number, number | null]
  const [run, pid, host, boot, space, started, seen, closed] = row as Columns
  return { run, pid, host, boot, space, started, seen, closed }
}
