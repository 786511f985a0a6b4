/**
 * The journal: the file, and one transaction for everything that has arrived. It is synchronous and knows no thread:
 * `journal-thread` gives it one, and the simulation runs it without.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import {
  ADD_HELD,
  ADD_STOPS,
  type JournalFault,
  type JournalSetup,
  OP,
  OP_LENGTH,
  type Opened,
  type Questions,
  type Reply,
  type Row,
  RUN_SPAN,
} from '../../src/rules/journal-protocol.ts'
import { FailPoints } from './fail-points.ts'
import { codeOf, faultOf, openFile } from './file.ts'
import type { Add } from './job-facts.ts'
import { Jobs } from './jobs.ts'
import { Owners } from './owners.ts'
import { Queries } from './queries.ts'
import { Retention } from './retention.ts'
import { type ArrayStatement, asArrays, prepare, type Statements } from './statements.ts'
import { Windows } from './windows.ts'

/** What one message asks to be written. */
export interface Batch {
  readonly number: number
  readonly wall: number
  readonly ops: readonly unknown[]
}

/** An open journal. */
export class Journal {
  readonly #setup: JournalSetup
  readonly #db: DatabaseSync
  readonly #lock: DatabaseSync
  readonly #sql: Statements
  readonly #jobs: Jobs
  readonly #owners: Owners
  readonly #queries: Queries
  readonly #retention: Retention
  readonly #failPoints: FailPoints
  #base = 0
  #unwritten = 0
  readonly #dataVersion: ArrayStatement
  #seenVersion = 0
  /** Batches that could not be written, without their adds. */
  #stuck: Batch[] = []

  /** @throws JournalError when the file cannot be used. */
  constructor(setup: JournalSetup) {
    this.#setup = setup
    const { db, lock } = openFile(setup)
    this.#db = db
    this.#lock = lock
    this.#sql = prepare(db)
    this.#dataVersion = asArrays(db.prepare('PRAGMA data_version'))
    const windows = new Windows(setup.tasks, setup.window)
    this.#jobs = new Jobs(this.#sql, windows, setup.tasks, setup.ageing)
    this.#owners = new Owners(db, this.#jobs, setup)
    this.#queries = new Queries(db, this.#jobs)
    this.#retention = new Retention(this.#jobs, setup.retention)
    this.#failPoints = new FailPoints(setup.failAt)
  }

  /** Takes its place among the runs, takes over what dead ones have left, and grants the first jobs. */
  open(): Opened {
    const { wall, resume } = this.#setup
    const reply = emptyReply()
    let unique: readonly Row[] = []
    this.#transaction(wall, reply, () => {
      this.#jobs.run = this.#owners.enter(wall)
      this.#base = this.#jobs.run * RUN_SPAN
      this.#queries.base = this.#base
      this.#jobs.counts = this.#queries.countAll()
      this.#jobs.lookAtSpilled()
      this.#owners.recover(wall, resume?.window)
      this.#jobs.tick()
      unique = this.#queries.uniqueHolders()
    })
    return { run: this.#jobs.run, unfinished: this.#queries.unfinished(), unique, reply }
  }

  /** True when finished jobs wait to be let go of, for when there is nothing else to do. */
  get isBehind(): boolean {
    return !this.isStuck && this.#retention.isBehind
  }

  get isStuck(): boolean {
    return this.#stuck.length > 0
  }

  /** Writes batches in one transaction. Does not throw: what could not be written is told in the reply. */
  write(batches: readonly Batch[]): Reply {
    const all = [...this.#stuck, ...batches]
    const reply = this.#attempt(all)
    if (reply.fault === undefined) return reply
    const { fault } = reply
    // The jobs to be added are refused; what is already under way has to be written, and often needs no more room.
    const rest = all.map(withoutAdds)
    const second = this.#attempt(rest)
    if (second.fault === undefined) return { ...second, fault }
    this.#stuck = rest.filter((batch) => batch.ops.length > 0)
    return { ...emptyReply(), upTo: all.at(-1)?.number ?? 0, fault, isStuck: this.#stuck.length > 0 }
  }

  /** Looks after other processes and old jobs; called now and then. */
  look(wall: number): Reply | null {
    if (!this.#setup.isShared || this.isStuck) return null
    const version = this.#dataVersion.get()?.[0] as number
    if (version === this.#seenVersion && !this.#owners.hasWork(wall)) return null
    this.#seenVersion = version
    const reply = emptyReply()
    try {
      this.#transaction(wall, reply, () => {
        this.#owners.lookAround(wall)
        this.#jobs.lookAtSpilled()
        this.#jobs.tick()
      })
    } catch (error) {
      if (codeOf(error) === 0) throw error
      return null
    }
    for (const row of this.#queries.endedElsewhere(wall)) reply.settled.push(row)
    return reply
  }

  ask<Q extends keyof Questions>(
    question: Q,
    argument: Questions[Q]['ask'],
    wall: number,
  ): Questions[Q]['answer'] {
    if (question === 'remove') {
      const n = this.#base + (argument as number)
      return this.#retention.remove(n) as Questions[Q]['answer']
    }
    if (question === 'counts' && !this.#setup.isShared) return this.#jobs.counts as Questions[Q]['answer']
    void wall
    return this.#queries.answer(question, argument)
  }

  /** What an error means for the journal; thrown on when it is no matter of the file. */
  faultOf(error: unknown): JournalFault {
    return faultOf(error, this.#setup.file)
  }

  close(wall: number): void {
    try {
      if (this.isStuck) this.write([])
      this.#owners.leave(wall)
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } finally {
      this.#db.close()
      this.#lock.close()
    }
  }

  #attempt(batches: readonly Batch[]): Reply {
    const reply = emptyReply()
    const last = batches.at(-1)
    reply.upTo = last?.number ?? 0
    try {
      this.#transaction(last?.wall ?? this.#jobs.now, reply, () => {
        for (const batch of batches) {
          this.#jobs.now = batch.wall
          this.#apply(batch.ops, reply)
        }
      })
      this.#stuck = []
      this.#checkpoint()
      return reply
    } catch (error) {
      return { ...emptyReply(), upTo: reply.upTo, fault: this.faultOf(error) }
    }
  }

  #transaction(wall: number, reply: Reply, work: () => void): void {
    const jobs = this.#jobs
    jobs.reply = reply
    jobs.now = wall
    const counts = [...jobs.counts]
    jobs.windows.save()
    try {
      this.#sql.begin.run()
      work()
      jobs.refill()
      this.#retention.step(jobs.now)
      this.#complete(reply)
      this.#failPoints.at('before-commit')
      this.#sql.commit.run()
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      jobs.counts = counts
      jobs.windows.restore()
      jobs.toSend.length = 0
      jobs.toTell.length = 0
      jobs.toExpire.length = 0
      jobs.isDueDirty = true
      throw error
    }
    this.#failPoints.at('after-commit')
  }

  /** Fills in what the reply tells of whole jobs. */
  #complete(reply: Reply): void {
    const jobs = this.#jobs
    this.#queries.rows(jobs.toSend, reply.rows)
    this.#queries.rows(jobs.toTell, reply.settled)
    this.#queries.rows(jobs.toExpire, reply.expired)
    jobs.toSend.length = 0
    jobs.toTell.length = 0
    jobs.toExpire.length = 0
    if (!jobs.isDueDirty) return
    jobs.isDueDirty = false
    const times = (this.#sql.nextDue.get() ?? []).filter((time): time is number => typeof time === 'number')
    reply.nextDue = Math.min(Number.POSITIVE_INFINITY, ...times)
  }

  #apply(ops: readonly unknown[], reply: Reply): void {
    for (let at = 0; at < ops.length; at += OP_LENGTH[ops[at] as number] as number) {
      this.#unwritten++
      this.#applyOne(ops, at, reply)
    }
  }

  #applyOne(ops: readonly unknown[], at: number, reply: Reply): void {
    const jobs = this.#jobs
    const seq = ops[at + 1] as number
    const n = this.#base + seq
    const values = ops as readonly SQLInputValue[]
    switch (ops[at]) {
      case OP.add:
        return jobs.add(this.#base, readAdd(ops, at))
      case OP.release:
        return jobs.release(n, seq, ops[at + 2] as number | null)
      case OP.mark:
        this.#sql.mark.run(values[at + 2] ?? 0, jobs.now, n, jobs.run)
        return
      case OP.unmark:
        this.#sql.unmark.run(values[at + 2] ?? 0, n, jobs.run)
        return
      case OP.retry:
        if (!jobs.retry(n, ops[at + 2] as number, values.slice(at + 3, at + 7))) reply.refused.push(seq)
        return
      case OP.finish:
        if (!jobs.finish(n, ops[at + 2] === 1, values.slice(at + 3, at + 14))) reply.refused.push(seq)
        return
      case OP.attempt:
        this.#sql.attempt.run(n, ...values.slice(at + 2, at + 9))
        return
      case OP.revive:
        return jobs.revive(n, ops[at + 2] === 1)
      case OP.tick:
        return jobs.tick()
      case OP.putSchedule:
        this.#sql.putSchedule.run(...values.slice(at + 1, at + 4))
        return
      case OP.removeSchedule:
        this.#sql.removeSchedule.run(values[at + 1] ?? null)
    }
  }

  /** Between commits, when enough has gathered: no acknowledgement waits for it. */
  #checkpoint(): void {
    if (this.#unwritten < this.#setup.checkpointEvery) return
    this.#unwritten = 0
    this.#failPoints.at('before-checkpoint')
    this.#failPoints.during('during-checkpoint')
    this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)')
  }
}

function readAdd(ops: readonly unknown[], at: number): Add {
  const flags = ops[at + 3] as number
  const rest = ops.slice(at + 4, at + 14)
  return [
    ops[at + 1],
    ops[at + 2],
    (flags & ADD_HELD) !== 0,
    (flags & ADD_STOPS) !== 0,
    ...rest,
  ] as unknown as Add
}

function withoutAdds(batch: Batch): Batch {
  const ops: unknown[] = []
  for (let at = 0; at < batch.ops.length; ) {
    const length = OP_LENGTH[batch.ops[at] as number] as number
    if (batch.ops[at] !== OP.add) ops.push(...batch.ops.slice(at, at + length))
    at += length
  }
  return { ...batch, ops }
}

function emptyReply(): Reply {
  return { upTo: 0, granted: [], rows: [], settled: [], expired: [], moved: [], refused: [] }
}
