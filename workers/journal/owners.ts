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
import { isAlive, isHere, ownPresence } from './place.ts'
import type { Run, Runs } from './runs.ts'
import { Silences } from './silences.ts'
import { type ArrayStatement, asArrays } from './statements.ts'

/** How often a process of a shared file says that it is there, in milliseconds. */
const BEAT = 5000
/** How often it looks whether the others are there. */
const LOOK = 250

/** Enters this run, takes over what dead runs have left, and leaves. */
export class Owners {
  readonly #jobs: Jobs
  readonly #endings: Endings
  readonly #notices: Notices
  readonly #setup: JournalSetup
  readonly #runs: Runs
  readonly #silences = new Silences()
  readonly #sql: Record<'owners' | 'ended', ArrayStatement>
  #beatAt = 0
  #lookedAt = 0

  constructor(
    db: DatabaseSync,
    parts: { jobs: Jobs; endings: Endings; notices: Notices; runs: Runs },
    setup: JournalSetup,
  ) {
    const { jobs, endings, notices, runs } = parts
    this.#jobs = jobs
    this.#endings = endings
    this.#notices = notices
    this.#runs = runs
    this.#setup = setup
    const prepare = (sql: string): ArrayStatement => asArrays(db.prepare(sql))
    this.#sql = {
      ended: prepare('SELECT n FROM jobs WHERE finished IS NOT NULL AND n BETWEEN ? AND ?'),
      owners: prepare(
        'SELECT run FROM runs WHERE closed IS NULL UNION SELECT DISTINCT owner FROM jobs WHERE owner <> 0',
      ),
    }
  }

  /**
   * Enters the run of this process, or the one that it goes on with; returns its number.
   *
   * @throws JournalError when the file is another's.
   */
  enter(wall: number): number {
    this.#beatAt = wall
    return this.#runs.enter(wall)
  }

  /** Takes over from runs that are dead; `window` are the jobs that the event loop's side of a resumed run still has. */
  recover(wall: number, window?: readonly number[]): void {
    if (window !== undefined) {
      this.#resume(new Set(window))
      this.#jobs.transaction.toTell.push(...this.#notices.takeEnds())
    }
    const isShared = this.#setup.isShared
    this.#takeOver(wall, (run) => !(isShared && isAlive(run, wall)))
  }

  /** In a shared file: says that we are there, and looks whether the others are. */
  lookAround(wall: number): void {
    if (this.#isTimeToBeat(wall)) {
      this.#beatAt = wall
      this.#runs.beat(wall, this.#jobs.transaction.run)
    }
    this.#takeOver(wall, (run) => this.#isGone(run, wall))
  }

  /** Others may have taken us for dead, as after a long pause of the machine: what we had is theirs, and we begin anew. */
  stayOpen(wall: number): void {
    const { run, toTell, reply } = this.#jobs.transaction
    if (this.#runs.get(run)?.closed === null) return
    this.#runs.reopen(wall, run)
    // What they have to say to us was not kept.
    for (const [n] of this.#sql.ended.all(run * RUN_SPAN, (run + 1) * RUN_SPAN - 1)) toTell.push(n as number)
    reply.owned = this.#jobs.sql.owned.all(run).map(([n]) => this.#jobs.seqOf(n as number))
  }

  /** Whether it is time to say that we are there, or another process is gone. */
  hasWork(wall: number): boolean {
    const isTime = this.#isTimeToBeat(wall)
    if (Math.abs(wall - this.#lookedAt) < LOOK) return isTime
    this.#lookedAt = wall
    const runs = this.#runs.others(this.#jobs.transaction.run)
    this.#silences.look(runs, wall)
    return isTime || runs.some((run) => this.#isGone(run, wall))
  }

  #isTimeToBeat(wall: number): boolean {
    return Math.abs(wall - this.#beatAt) >= BEAT
  }

  /** A process that stands still gives up what it has, also on this machine: its outcomes are refused when it wakes. */
  #isGone(run: Run, wall: number): boolean {
    return this.#silences.isSilent(run.run) || isHere(run, wall, ownPresence(wall)) === false
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
    this.#runs.close(wall, run)
    sql.commit.run()
  }

  #takeOver(wall: number, isGone: (run: Run) => boolean): void {
    for (const [number] of this.#sql.owners.all() as [number][]) {
      if (number === this.#jobs.transaction.run) continue
      const run = this.#runs.get(number)
      if (run?.closed === null && !isGone(run)) continue
      this.#takeFrom(number, run !== undefined && run.closed !== null)
      this.#runs.close(wall, number, true)
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
