/** How jobs end, by the event loop's word or the journal's own, and what that does to those who waited for them. */
import type { SQLInputValue } from 'node:sqlite'
import {
  AVAILABLE,
  BATCH_FAILED,
  CANCELLED,
  DEAD,
  errorText,
  RUNNING,
  SKIPPED,
  WAITING,
} from '../../src/rules/journal-protocol.ts'
import { toWireError } from '../../src/rules/wire-error.ts'
import { TaskCancelledError } from '../../src/words/errors.ts'
import { type End, type Facts, factsOf } from './job-facts.ts'
import type { Jobs } from './jobs.ts'
import type { CancelNotice, Notices } from './notices.ts'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'
import type { Transaction } from './transaction.ts'
import type { Twins } from './twins.ts'
import type { Windows } from './windows.ts'

/** Ends jobs. */
export class Endings {
  readonly #jobs: Jobs
  readonly #sql: Statements
  readonly #transaction: Transaction
  readonly #numbers: TaskNumbers
  readonly #windows: Windows
  readonly #notices: Notices
  readonly #twins: Twins
  readonly #toSkip: number[] = []
  #isSkipping = false

  constructor(jobs: Jobs, notices: Notices, twins: Twins) {
    this.#jobs = jobs
    this.#sql = jobs.sql
    this.#transaction = jobs.transaction
    this.#numbers = jobs.numbers
    this.#windows = jobs.windows
    this.#notices = notices
    this.#twins = twins
  }

  /** Ends a job as the event loop says. False when it is over otherwise, or not ours any more. */
  finish(n: number, isClaimed: boolean, values: readonly SQLInputValue[]): boolean {
    const facts = factsOf(this.#sql, this.#numbers, n)
    const [state, result, error, reason, attempts, failures, crashes, started, ended, thread, cpu] =
      values as never[]
    if (facts === undefined) return this.#isSaidAgain(n, state ?? null, attempts ?? null, ended ?? null)
    const isOthers = facts.owner !== 0 && facts.owner !== this.#transaction.run
    if (isOthers || (isClaimed && facts.owner !== this.#transaction.run)) return false
    this.#leave(facts)
    this.#sql.finish.run(
      state ?? CANCELLED,
      result ?? null,
      error ?? null,
      reason ?? null,
      attempts ?? null,
      failures ?? null,
      crashes ?? null,
      started ?? null,
      ended ?? this.#transaction.now,
      thread ?? null,
      cpu ?? null,
      n,
      this.#shelve(facts.taskId, Number(state)),
    )
    this.#transaction.count(facts.state, Number(state))
    this.#goOn(n, facts, Number(state), reason ?? null)
    return true
  }

  /** An end that is said again: the thread that wrote it has died before it could say so. */
  #isSaidAgain(n: number, ...end: SQLInputValue[]): boolean {
    return this.#transaction.isRepeated && this.#sql.isSameEnd.get(n, ...end) !== undefined
  }

  /** Ends a job by the journal's own decision, and tells of it. */
  end(n: number, { state, reason, error, crashes }: End): void {
    const facts = factsOf(this.#sql, this.#numbers, n)
    if (facts === undefined) return
    this.#leave(facts)
    this.#sql.end.run(
      state,
      reason,
      error,
      crashes,
      this.#transaction.now,
      n,
      this.#shelve(facts.taskId, state),
    )
    this.#transaction.count(facts.state, state)
    this.#transaction.toTell.push(n)
    this.#goOn(n, facts, state, reason)
  }

  /** Cancels a job, or has it cancelled by whoever holds it. */
  cancel({ n, text }: CancelNotice): void {
    const facts = factsOf(this.#sql, this.#numbers, n)
    if (facts === undefined) return
    if (facts.owner === 0) return this.cancelHere(n, facts, text)
    if (facts.owner !== this.#transaction.run) return this.#notices.cancel(n, facts.owner, text)
    // It may be on its way to the event loop, which knows more of it by now.
    this.#transaction.reply.cancels.push(this.#jobs.seqOf(n), text)
  }

  /** Cancels a job that runs nowhere. */
  cancelHere(n: number, { task, taskId }: { task: number; taskId: number }, text: string | null): void {
    const name = this.#numbers.tasks[task]?.name ?? String(this.#sql.nameOf.get(taskId)?.[0])
    const error = errorText(toWireError(new TaskCancelledError(name, text ?? undefined)))
    this.end(n, { state: CANCELLED, reason: null, error, crashes: null })
  }

  #shelve(taskId: number, state: number): number {
    const shelf = this.#numbers.shelfOf(taskId)
    this.#transaction.shelve(shelf, state)
    return shelf
  }

  /** The job is over: whoever waited for it goes on. A loop, not a recursion, since a batch may be long. */
  #goOn(n: number, facts: Facts, state: number, reason: string | null): void {
    this.#notices.ended(n)
    this.#twins.ended(n)
    this.#unblock(n, facts, state, reason)
    if (this.#isSkipping) return
    this.#isSkipping = true
    try {
      for (let next = this.#toSkip.pop(); next !== undefined; next = this.#toSkip.pop()) {
        this.end(next, { state: SKIPPED, reason: BATCH_FAILED, error: null, crashes: 0 })
      }
    } finally {
      // A write that fails is rolled back and made again from the start.
      this.#isSkipping = false
      this.#toSkip.length = 0
    }
  }

  #unblock(n: number, { key, after }: Facts, state: number, reason: string | null): void {
    const next = key === null ? undefined : this.#jobs.lines.leave(n, key)
    if (next !== undefined) this.#jobs.advance(next)
    for (const [follower, stops, nextState] of this.#sql.followers.all(n) as [number, number, number][]) {
      // Who waited for a job that was cancelled in the middle of its batch now waits for the one before it.
      this.#sql.relink.run(after, follower)
      const isSkipped = (state === DEAD && stops === 1) || reason === BATCH_FAILED
      if (isSkipped) this.#toSkip.push(follower)
      else if (nextState === WAITING && after === null) this.#jobs.advance(follower)
    }
  }

  #leave(facts: { state: number; owner: number; taskId: number }): void {
    if (facts.state !== AVAILABLE && facts.state !== RUNNING) return
    if (facts.owner === this.#transaction.run) this.#windows.leave(this.#numbers.indexOf(facts.taskId))
    else if (facts.owner === 0) this.#windows.unspill(this.#numbers.indexOf(facts.taskId))
  }
}
