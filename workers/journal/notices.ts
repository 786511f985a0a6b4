/**
 * What one process of a shared file has to tell another: that it has ended a job which the other has added, and that a
 * job which the other holds is to be cancelled. A notice is written in the transaction that makes it true, and taken away
 * only once it was passed on: so each is heard, however the processes end, and whatever their clocks say.
 */
import { RUN_SPAN } from '../../src/rules/journal-protocol.ts'
import type { Statements } from './statements.ts'
import type { Transaction } from './transaction.ts'

const CANCEL = 1

/** Who asks to have which job cancelled. */
export interface CancelNotice {
  readonly n: number
  readonly text: string | null
}

/** Writes and reads notices. */
export class Notices {
  readonly #sql: Statements
  readonly #transaction: Transaction
  readonly #isShared: boolean
  /** The last one that was passed on, the last that is about to be, and the last that was taken away. */
  #told = 0
  #telling = 0
  #dropped = 0
  /** The last end that went out with a commit, and the last that goes out with the one under way. */
  #kept = 0
  #keeping = 0

  constructor(sql: Statements, transaction: Transaction, isShared: boolean) {
    this.#sql = sql
    this.#transaction = transaction
    this.#isShared = isShared
  }

  /** True when some that were passed on are to be taken away. */
  get isBehind(): boolean {
    return this.#dropped < this.#told
  }

  /** We have ended a job: whoever has added it is told. */
  ended(n: number): void {
    if (!this.#isShared) return
    const run = Math.floor(n / RUN_SPAN)
    if (run !== this.#transaction.run) this.#sql.notifyEnd.run(run, n)
  }

  /**
   * Ends that are told with the commit under way. Should the thread die in between, the next one tells of them; that
   * they were told is known once another message is taken.
   */
  keepEnds(jobs: readonly number[]): void {
    this.#keeping = 0
    for (const n of jobs) this.#keeping = this.#sql.keepEnd.get(this.#transaction.run, n)?.[0] as number
  }

  /** The commit with these ends is done. */
  keptEnds(): void {
    this.#kept = Math.max(this.#kept, this.#keeping)
    this.#keeping = 0
  }

  /** What went out with an earlier commit was told. In a shared file they are read, and dropped, with all others. */
  dropEnds(): void {
    if (this.#kept > 0 && !this.#isShared) this.#sql.dropNotices.run(this.#transaction.run, this.#kept)
  }

  /** The end of a job went out with an earlier commit: what is kept of that is no reason to keep the job. */
  dropEndOf(n: number): void {
    if (this.#kept > 0 && this.#isShared) this.#sql.dropEnd.run(this.#transaction.run, n, this.#kept)
  }

  /** Ends that a thread before this one may not have told of any more. */
  takeEnds(): readonly number[] {
    if (this.#isShared) return []
    const all = this.#all(this.#transaction.run, 0)
    const last = all.at(-1)
    if (last !== undefined) this.#sql.dropNotices.run(this.#transaction.run, last[0])
    return all.map(([, , n]) => n)
  }

  /** A job is to be cancelled that another process holds. */
  cancel(n: number, owner: number, text: string | null): void {
    this.#sql.notifyCancel.run(owner, n, text)
  }

  /** Passes on what is there for us. */
  read(cancel: (notice: CancelNotice) => void): void {
    const { run, toTell } = this.#transaction
    if (this.isBehind) this.#sql.dropNotices.run(run, this.#told)
    this.#telling = this.#told
    for (const [id, kind, n, text] of this.#all(run, this.#told)) {
      this.#telling = id
      if (kind === CANCEL) cancel({ n, text })
      else toTell.push(n)
    }
  }

  /** What `read` has passed on is written, and on its way. */
  passedOn(): void {
    this.#dropped = this.#told
    this.#told = this.#telling
  }

  /** Takes away what is there for a run that is over; returns what it was asked to cancel. */
  clear(run: number): readonly CancelNotice[] {
    const all = this.#all(run, 0)
    const last = all.at(-1)
    if (last !== undefined) this.#sql.dropNotices.run(run, last[0])
    return all.filter(([, kind]) => kind === CANCEL).map(([, , n, text]) => ({ n, text }))
  }

  #all(run: number, after: number): readonly (readonly [number, number, number, string | null])[] {
    return this.#sql.notices.all(run, after) as readonly (readonly [number, number, number, string | null])[]
  }
}
