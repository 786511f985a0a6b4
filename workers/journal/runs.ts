/**
 * The runs of a file: which processes have it open. That is what a file's ownership stands on, since a lock beside it may
 * be removed, and a copy has none. Who may come in is decided in the transaction that enters the new run.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { JournalSetup } from '../../src/rules/journal-protocol.ts'
import type { OpenFile } from './file.ts'
import { JournalError } from './journal-error.ts'
import { lockedBy } from './lock.ts'
import { isHere, isThisProcess, LEASE, ownPresence, type Presence } from './place.ts'
import { isAnnounced } from './presence.ts'
import { type ArrayStatement, asArrays } from './statements.ts'

/** A process at the file, as its row says. */
export interface Run extends Presence {
  readonly run: number
  readonly closed: number | null
  readonly prefix: string
  readonly isShared: boolean
  /** The lock that it has, and the file, by their numbers. */
  readonly lock: string
  readonly file: string
  /** When somebody asked whether it is there; null once it has answered. */
  readonly knocked: number | null
}

const COLUMNS = 'run, pid, host, boot, space, started, seen, closed, prefix, shared, lock, file, knocked'
/** How often it is looked whether a process has answered, in milliseconds. */
const ASK_EVERY = 50

/** Reads and writes the rows. */
export class Runs {
  readonly #setup: JournalSetup
  readonly #opened: OpenFile
  /** Those that cannot be looked at from here, and did not answer. */
  readonly #mute = new Set<number>()
  readonly #sql: Record<
    'insert' | 'open' | 'beat' | 'close' | 'run' | 'closeRun' | 'reopen' | 'knock' | 'answer',
    ArrayStatement
  >

  constructor(db: DatabaseSync, opened: OpenFile, setup: JournalSetup) {
    this.#setup = setup
    this.#opened = opened
    const prepare = (sql: string): ArrayStatement => asArrays(db.prepare(sql))
    this.#sql = {
      insert: prepare(
        'INSERT INTO runs (prefix, pid, host, boot, space, started, opened, seen, shared, lock, file) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING run',
      ),
      open: prepare(`SELECT ${COLUMNS} FROM runs WHERE closed IS NULL AND run <> ?`),
      beat: prepare('UPDATE runs SET seen = ?, knocked = NULL WHERE run = ?'),
      close: prepare('UPDATE runs SET closed = ? WHERE run = ?'),
      closeRun: prepare('UPDATE runs SET closed = ? WHERE run = ? AND closed IS NULL'),
      run: prepare(`SELECT ${COLUMNS} FROM runs WHERE run = ?`),
      reopen: prepare('UPDATE runs SET closed = NULL, seen = ? WHERE run = ?'),
      knock: prepare('UPDATE runs SET knocked = ? WHERE run = ?'),
      answer: prepare('UPDATE runs SET seen = ?, knocked = NULL WHERE run = ? AND knocked IS NOT NULL'),
    }
  }

  /**
   * Enters the run of this process, or the one that it goes on with; returns its number.
   *
   * @throws JournalError when the file is another's.
   */
  enter(wall: number): number {
    const { resume, idPrefix, isShared } = this.#setup
    if (resume !== undefined) {
      this.expectOurs(resume.run)
      this.beat(wall, resume.run)
      return resume.run
    }
    for (const run of this.others(0)) this.#expectAway(run, wall)
    const { pid, host, boot, space, started } = ownPresence(wall)
    const place = [pid, host, boot, space, started, wall, wall]
    const { lockId, identity } = this.#opened
    const row = this.#sql.insert.get(idPrefix, ...place, isShared ? 1 : 0, lockId, identity.identity)
    return row?.[0] as number
  }

  /**
   * Asks the processes that cannot be looked at from here, such as those of another machine, whether they are there. Waits
   * for that: outside of a transaction, or they could not answer.
   */
  ask(wall: number, sleep: (milliseconds: number) => void): void {
    if (this.#setup.resume !== undefined) return
    const asked = this.others(0).filter((run) => this.#isIn(run, wall) === undefined)
    for (const { run } of asked) this.#sql.knock.run(wall, run)
    const { answerWithin } = this.#setup
    // Until one of them answers: that is enough to stay out.
    const isWaiting = (): boolean => {
      const open = asked.map(({ run }) => this.get(run)).filter((run) => run?.closed === null)
      return open.length > 0 && open.every((run) => run?.knocked !== null)
    }
    for (let waited = 0; waited < answerWithin && isWaiting(); waited += ASK_EVERY) sleep(ASK_EVERY)
    for (const { run } of asked) if (this.get(run)?.knocked !== null) this.#mute.add(run)
  }

  /** Says that we are there to whoever has asked. */
  answer(wall: number, own: number): void {
    if (this.get(own)?.knocked !== null) this.#sql.answer.run(wall, own)
  }

  /** @throws JournalError when another process has taken a run of a file that is not shared for dead. */
  expectOurs(own: number): void {
    const run = this.get(own)
    if (run === undefined) {
      const message = `${this.#setup.file} has no record of this process any more: it was restored, or its log was removed. Restart this process.`
      throw new JournalError({ kind: 'taken', message })
    }
    if (run.closed === null || this.#setup.isShared) return
    const taker = this.others(own).at(-1)
    const by = taker === undefined ? 'another process' : `process ${taker.pid} on ${taker.host}`
    const message = `${this.#setup.file} was taken over by ${by}, which took this process for dead: the jobs that were here are its own now. Restart this process.`
    const owner = taker && { pid: taker.pid, host: taker.host }
    throw new JournalError({ kind: 'taken', message, ...(owner && { owner }) })
  }

  get(run: number): Run | undefined {
    const row = this.#sql.run.get(run)
    return row && toRun(row)
  }

  /** The open runs besides one. */
  others(own: number): readonly Run[] {
    return this.#sql.open.all(own).map(toRun)
  }

  beat(wall: number, own: number): void {
    this.#sql.beat.run(wall, own)
  }

  /** Somebody had closed our run. */
  reopen(wall: number, own: number): void {
    this.#sql.reopen.run(wall, own)
  }

  /** Our own run is over, or (`isOther`) one that has left without a word. */
  close(wall: number, run: number, isOther = false): void {
    if (isOther) this.#sql.closeRun.run(wall, run)
    else this.#sql.close.run(wall, run)
  }

  #expectAway(run: Run, wall: number): void {
    const { isShared, file } = this.#setup
    if (run.isShared && isShared) return
    // One that has come since the others were asked is there.
    if (this.#isIn(run, wall) ?? !this.#mute.has(run.run)) {
      const isCopy = run.file !== '' && run.file !== this.#opened.identity.identity
      throw lockedBy(file, isShared, run, isCopy)
    }
  }

  /** Whether a process is at the file; undefined when that cannot be told without asking it. */
  #isIn(run: Run, wall: number): boolean | undefined {
    if (isThisProcess(run)) return isAnnounced(run.prefix)
    const own = ownPresence(wall)
    const isThere = isHere(run, wall, own)
    if (isThere !== undefined) return isThere
    // Whoever has had our lock on this machine is gone: its kernel has let go of it.
    if (run.boot === own.boot && run.lock !== '' && run.lock === this.#opened.lockId) return false
    // Those of a shared file say all the time that they are there.
    return run.isShared ? wall - run.seen < LEASE : undefined
  }
}

function toRun(row: readonly unknown[]): Run {
  type Head = [number, number, string, string, string, string, number, number | null]
  type Tail = [string, number, string, string, number | null]
  const [run, pid, host, boot, space, started, seen, closed, prefix, shared, lock, file, knocked] = row as [
    ...Head,
    ...Tail,
  ]
  const isShared = shared === 1
  return { run, pid, host, boot, space, started, seen, closed, prefix, isShared, lock, file, knocked }
}
