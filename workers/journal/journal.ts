/**
 * The journal: the file, and one transaction for everything that has arrived. It is synchronous and knows no thread:
 * `journal-thread` gives it one, and the simulation runs it without.
 */
// long because: it is the life of one file, from its opening to its end, with the transaction that all of it shares
import type { DatabaseSync } from 'node:sqlite'
import {
  COMPLETED,
  type JournalFault,
  type JournalSetup,
  type Opened,
  type Questions,
  type Reply,
  type Row,
  RUN_SPAN,
  withoutAdds,
} from '../../src/rules/journal-protocol.ts'
import { Endings } from './endings.ts'
import { FailPoints } from './fail-points.ts'
import { closeFile, faultOf, isOfFile, type OpenFile, openFile } from './file.ts'
import { Jobs } from './jobs.ts'
import { codeOf, JournalError } from './journal-error.ts'
import { Log } from './log.ts'
import { moveTimes } from './moved-times.ts'
import { Notices } from './notices.ts'
import { type Batch, type Guard, Operations } from './operations.ts'
import { Owners } from './owners.ts'
import { Queries } from './queries.ts'
import { Retention } from './retention.ts'
import { Runs } from './runs.ts'
import { Spilled } from './spilled.ts'
import { type ArrayStatement, asArrays, prepare, type Statements } from './statements.ts'
import { TaskNumbers } from './task-numbers.ts'
import { Transaction } from './transaction.ts'
import { Turns } from './turns.ts'
import { Twins } from './twins.ts'
import { Windows } from './windows.ts'

/** How long SQLite waits for another process that writes before it is asked again, in milliseconds. */
const SLICE = 100
/** What SQLite says when it has waited long enough. */
const BUSY = 5

/** An open journal. */
export class Journal {
  readonly #setup: JournalSetup
  readonly #db: DatabaseSync
  readonly #opened: OpenFile
  readonly #sql: Statements
  readonly #transaction = new Transaction()
  readonly #windows: Windows
  readonly #spilled: Spilled
  readonly #jobs: Jobs
  readonly #endings: Endings
  readonly #operations: Operations
  readonly #notices: Notices
  readonly #owners: Owners
  readonly #runs: Runs
  readonly #turns: Turns
  readonly #queries: Queries
  readonly #retention: Retention
  readonly #failPoints: FailPoints
  readonly #log: Log
  readonly #dataVersion: ArrayStatement
  #seenVersion = 0
  /** Batches that could not be written, without their adds. */
  #stuck: Batch[] = []
  /** The last batch that has come: of those that wait, the last ones may have held nothing but adds, which are refused. */
  #upTo = 0

  /**
   * `steady` is a clock that nobody sets, in milliseconds.
   *
   * @throws JournalError when the file cannot be used.
   */
  constructor(
    setup: JournalSetup,
    opened: OpenFile = openFile(setup),
    steady: () => number = () => performance.now(),
  ) {
    const { db } = opened
    this.#setup = setup
    this.#db = db
    this.#opened = opened
    this.#runs = new Runs(db, opened, setup)
    this.#sql = prepare(db)
    this.#dataVersion = asArrays(db.prepare('PRAGMA data_version'))
    const numbers = new TaskNumbers(this.#sql, setup.tasks)
    this.#turns = new Turns(this.#sql, this.#transaction)
    this.#windows = new Windows(setup.tasks, setup.window, setup.isShared)
    this.#spilled = new Spilled(this.#sql, this.#transaction, this.#windows, numbers)
    this.#notices = new Notices(this.#sql, this.#transaction, setup.isShared)
    const basics = { sql: this.#sql, transaction: this.#transaction, windows: this.#windows, numbers }
    const twins = new Twins(this.#sql, this.#transaction, numbers, this.#notices, setup.isShared)
    this.#jobs = new Jobs({ ...basics, twins }, setup.ageing)
    const endings = new Endings(this.#jobs, this.#notices, twins)
    this.#endings = endings
    this.#operations = new Operations(this.#jobs, endings)
    const runs = this.#runs
    this.#owners = new Owners(db, { jobs: this.#jobs, endings, notices: this.#notices, runs }, setup)
    this.#queries = new Queries(db, this.#sql, numbers)
    this.#retention = new Retention(
      this.#sql,
      this.#transaction,
      numbers,
      setup.retention,
      setup.isShared ? steady : undefined,
    )
    this.#failPoints = new FailPoints(setup.failAt)
    this.#log = new Log(db, setup.logLimit, Math.min(SLICE, setup.patience), this.#failPoints)
  }

  /**
   * Takes its place among the runs, takes over what dead ones have left, and grants the first jobs. `sleep` passes the time
   * while a process is asked whether it is there.
   *
   * @throws JournalError when another process has the file.
   */
  open(sleep: (milliseconds: number) => void = () => {}): Opened {
    const { wall, resume } = this.#setup
    const reply = emptyReply()
    let unique: readonly Row[] = []
    try {
      this.#runs.ask(wall, sleep)
      unique = this.#enter(wall, resume, reply)
    } catch (error) {
      this.drop()
      throw error
    }
    // From here on it waits by itself, see `#begin`.
    this.#db.exec(`PRAGMA busy_timeout = ${Math.min(SLICE, this.#setup.patience)}`)
    this.#opened.identity.opened()
    this.#seenVersion = this.#version()
    const { identity } = this.#opened.identity
    return { run: this.#transaction.run, identity, unfinished: this.#unfinished(), unique, reply }
  }

  #enter(wall: number, resume: JournalSetup['resume'], reply: Reply): readonly Row[] {
    let unique: readonly Row[] = []
    this.#inTransaction(wall, reply, () => {
      const run = this.#owners.enter(wall)
      this.#transaction.run = run
      if (resume === undefined) this.#retention.opened(wall, moveTimes(this.#sql, run, this.#setup))
      this.#operations.base = run * RUN_SPAN
      for (const [seq, after] of resume?.passed ?? []) this.#operations.passOver(seq, after)
      this.#jobs.known = Number(this.#sql.lastBefore.get((run + 1) * RUN_SPAN)?.[0] ?? 0)
      this.#queries.base = run * RUN_SPAN
      this.#transaction.counts = this.#queries.countAll()
      this.#transaction.shelves = new Map(this.#sql.shelves.all() as [number, number][])
      this.#spilled.count()
      this.#owners.recover(wall, resume?.window)
      this.#sql.expireAgain.run()
      this.#jobs.tick()
      // Of other processes' jobs we would not hear when they let go of their keys.
      if (!this.#setup.isShared) unique = this.#queries.uniqueHolders()
    })
    return unique
  }

  /** True when finished jobs wait to be let go of, for when there is nothing else to do. */
  get isBehind(): boolean {
    return !this.isStuck && this.#retention.isBehind
  }

  get isStuck(): boolean {
    return this.#stuck.length > 0
  }

  /** A step towards a smaller file, while there is little to do; true when another is to be made. */
  giveBack(): boolean {
    return !this.isStuck && this.#log.giveBack()
  }

  /** Nothing is written just now: the log is emptied. False when somebody still reads in it. */
  rest(): boolean {
    if (this.isStuck) return true
    const isEmpty = this.#log.rest()
    if (isEmpty) this.#opened.identity.rests()
    return isEmpty
  }

  /** Writes batches in one transaction. Does not throw: what could not be written is told in the reply. */
  write(batches: readonly Batch[]): Reply {
    const all = [...this.#stuck, ...batches]
    this.#upTo = Math.max(this.#upTo, all.at(-1)?.number ?? 0)
    const reply = this.#attempt(all)
    if (reply.fault === undefined) return reply
    const { fault } = reply
    // The jobs to be added are refused; what is already under way has to be written, and often needs no more room.
    const there = batches.flatMap((batch) => this.#operations.refuse(batch))
    const rest = all.map((batch) => ({ ...batch, ops: withoutAdds(batch.ops) }))
    const second = this.#attempt(rest)
    if (second.fault === undefined) return { ...second, fault, there }
    this.#stuck = rest.filter((batch) => batch.ops.length > 0)
    return { ...emptyReply(), upTo: this.#upTo, fault, there, isStuck: this.#stuck.length > 0 }
  }

  /**
   * Looks whether the file is where it was and still our own; called every second. Returns why nothing can be written, or
   * `reopen` when the file is to be opened anew: its log was removed. `isFaulty`: the last write has failed, and it is tried
   * whether another does.
   *
   * @throws JournalError when another process has the file now.
   */
  watch(wall: number, isFaulty: boolean): JournalFault | 'reopen' | undefined {
    const { identity } = this.#opened
    if (this.#version() !== this.#seenVersion) identity.moves()
    const fault = identity.fault() ?? identity.logFault()
    if (fault !== undefined) return fault
    try {
      if (!this.#setup.isShared && identity.hasLostLog) {
        // All that stands in the log is in the file then, and the next log begins with nothing.
        this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
        return 'reopen'
      }
      if (isFaulty && !this.isStuck) this.#runs.beat(wall, this.#transaction.run)
      if (!this.#setup.isShared && this.#version() !== this.#seenVersion) {
        this.#expectOurs()
        this.#runs.answer(wall, this.#transaction.run)
      }
    } catch (error) {
      if (isTaken(error) || (codeOf(error) === 0 && !isOfFile(error))) throw error
      return this.faultOf(error)
    }
    return undefined
  }

  /** Looks after other processes and old jobs; called now and then. */
  look(wall: number): Reply | null {
    if (!this.#setup.isShared || this.isStuck) return null
    const version = this.#version()
    if (version === this.#seenVersion && !this.#owners.hasWork(wall) && !this.#notices.isBehind) return null
    this.#seenVersion = version
    const reply = emptyReply()
    try {
      this.#inTransaction(wall, reply, () => {
        this.#owners.lookAround(wall)
        this.#notices.read((notice) => this.#endings.cancel(notice))
        this.#spilled.look()
        this.#jobs.tick()
      })
    } catch (error) {
      if (codeOf(error) === 0) throw error
      return null
    }
    this.#notices.passedOn()
    if (this.#turns.haveChanged) reply.haveSchedulesChanged = true
    return reply
  }

  ask<Q extends keyof Questions>(question: Q, argument: Questions[Q]['ask']): Questions[Q]['answer'] {
    if (question === 'remove') {
      // Whoever asks for that has heard of its end.
      this.#notices.dropEnds()
      const n = this.#operations.base + (argument as number)
      this.#notices.dropEndOf(n)
      return this.#retention.remove(n) as Questions[Q]['answer']
    }
    if (question === 'turn')
      return this.#turns.turn(argument as Questions['turn']['ask']) as Questions[Q]['answer']
    if (question === 'counts' && !this.#setup.isShared)
      return this.#transaction.counts as Questions[Q]['answer']
    return this.#queries.answer(question, argument)
  }

  /** What an error means for the journal; thrown on when it is no matter of the file. */
  faultOf(error: unknown): JournalFault {
    return faultOf(error, this.#setup.file)
  }

  close(wall: number): void {
    try {
      // What is written over would be spoilt by what we have to say.
      if (this.#opened.identity.fault()?.kind === 'replaced') return
      if (this.isStuck) this.write([])
      this.#owners.leave(wall)
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } finally {
      this.drop()
    }
  }

  /** Lets go of the file without a goodbye. */
  drop(): void {
    closeFile(this.#opened)
  }

  /** One record that cannot be written is found by writing each by itself: the others are not the worse for it. */
  #attempt(batches: readonly Batch[], guard?: Guard): Reply {
    const reply = emptyReply()
    const last = batches.at(-1)
    reply.upTo = this.#upTo
    try {
      this.#inTransaction(last?.wall ?? this.#transaction.now, reply, () => {
        for (const batch of batches) {
          this.#transaction.now = batch.wall
          this.#transaction.isRepeated = batch.isRepeated
          this.#operations.apply(batch.ops, reply, guard)
        }
      })
      this.#stuck = []
    } catch (error) {
      if (isTaken(error)) throw error
      if (guard === undefined && !isOfFile(error)) return this.#attempt(batches, this.#guard)
      return { ...emptyReply(), upTo: reply.upTo, fault: this.faultOf(error) }
    }
    this.#log.committed()
    return reply
  }

  readonly #guard: Guard = (work, failed) => {
    const undo = [this.#transaction.mark(), this.#windows.mark()]
    this.#db.exec('SAVEPOINT one')
    try {
      work()
    } catch (error) {
      if (isOfFile(error)) throw error
      this.#db.exec('ROLLBACK TO one')
      for (const back of undo) back()
      failed(error instanceof Error ? error.message : String(error))
    }
    this.#db.exec('RELEASE one')
  }

  #inTransaction(wall: number, reply: Reply, work: () => void): void {
    this.#transaction.begin(wall, reply)
    this.#windows.save()
    try {
      this.#begin()
      if (this.#transaction.run > 0) this.#lookAtOthers(wall)
      this.#notices.dropEnds()
      work()
      this.#spilled.grant()
      // What is told is read before it may be let go of.
      this.#complete(reply)
      this.#retention.step(this.#transaction.now)
      this.#failPoints.at('before-commit')
      this.#expectFile()
      this.#sql.commit.run()
      this.#opened.identity.moves()
      this.#notices.keptEnds()
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      this.#transaction.undo()
      this.#windows.restore()
      throw error
    }
    this.#failPoints.at('after-commit')
  }

  /** Waits for another process that writes, a little at a time: SQLite itself cannot be told that there is no more time. */
  #begin(): void {
    const { patience, hurry } = this.#setup
    for (let waited = SLICE; ; waited += SLICE) {
      try {
        this.#sql.begin.run()
        return
      } catch (error) {
        const isOver = waited >= patience || (hurry !== undefined && Atomics.load(hurry, 0) !== 0)
        if (codeOf(error) !== BUSY || isOver) throw error
      }
    }
  }

  /** Nothing else is written meanwhile, so what is found here holds until the commit. */
  #lookAtOthers(wall: number): void {
    if (this.#setup.isShared) {
      this.#owners.stayOpen(wall)
      this.#spilled.lookAtOthers()
    } else if (this.#version() !== this.#seenVersion) {
      this.#opened.identity.moves()
      this.#expectOurs()
    }
  }

  #expectOurs(): void {
    const version = this.#version()
    this.#runs.expectOurs(this.#transaction.run)
    this.#seenVersion = version
  }

  /** What is committed to a file that has no name any more is gone with this process: nobody is told that it is stored. */
  #expectFile(): void {
    const fault = this.#opened.identity.fault()
    if (fault !== undefined) throw new JournalError(fault)
  }

  #version(): number {
    return this.#dataVersion.get()?.[0] as number
  }

  /** Fills in what the reply tells of whole jobs. */
  #complete(reply: Reply): void {
    const transaction = this.#transaction
    this.#queries.rows(transaction.toSend, reply.rows)
    this.#queries.rows(transaction.toTell, reply.settled)
    this.#queries.rows(transaction.toExpire, reply.expired)
    this.#notices.keepEnds(transaction.toTell)
    transaction.told()
    if (!transaction.isDueDirty) return
    transaction.isDueDirty = false
    const times = (this.#sql.nextDue.get(transaction.run) ?? []).filter(
      (time): time is number => typeof time === 'number',
    )
    reply.nextDue = Math.min(Number.POSITIVE_INFINITY, ...times)
  }

  /** Unfinished jobs that can run here. */
  #unfinished(): number {
    const all = this.#transaction.counts.slice(0, COMPLETED).reduce((total, count) => total + count, 0)
    return all - this.#spilled.strangers
  }
}

/** True for the error of a file that is another's by now. */
export function isTaken(error: unknown): boolean {
  return error instanceof JournalError && error.fault.kind === 'taken'
}

/** What a commit that changed nothing has brought. */
export function emptyReply(): Reply {
  return {
    upTo: 0,
    granted: [],
    rows: [],
    settled: [],
    expired: [],
    moved: [],
    refused: [],
    unwritable: [],
    cancels: [],
  }
}
