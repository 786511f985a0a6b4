/**
 * The rules of when a job may run, as changes to the file: a job waits for its response, for the one before it in its
 * batch, for its time, for its place in its key's line; then it is available, and granted to the event loop's window
 * or spilled. Every change of one turn of the event loop is one transaction, so a crash finds either all of it or none.
 */
import type { SQLInputValue } from 'node:sqlite'
import {
  AVAILABLE,
  DEAD,
  HELD,
  RETRYABLE,
  RUN_SPAN,
  SCHEDULED,
  TWIN,
  WAITING,
} from '../../src/rules/journal-protocol.ts'
import { Passed } from '../../src/rules/passed.ts'
import { type Add, type Facts, factsOf, type Place } from './job-facts.ts'
import { KeyLines } from './key-lines.ts'
import type { Statements } from './statements.ts'
import type { TaskNumbers } from './task-numbers.ts'
import type { Transaction } from './transaction.ts'
import type { Twins } from './twins.ts'
import type { Windows } from './windows.ts'

// Without ageing a step of priority weighs more than any wait.
const NO_AGEING = 2 ** 40

/** The jobs of the file that are not over. */
export class Jobs {
  readonly sql: Statements
  readonly transaction: Transaction
  readonly windows: Windows
  readonly numbers: TaskNumbers
  readonly lines: KeyLines
  /** The last job that was in the file when it was opened: what is up to this one may be added for the second time. */
  known = 0
  /** Jobs that are not in the file, such as refused ones, and which each waited for. */
  readonly passed = new Passed()
  readonly #weight: number
  readonly #twins: Twins

  constructor(
    parts: {
      sql: Statements
      transaction: Transaction
      windows: Windows
      numbers: TaskNumbers
      twins: Twins
    },
    ageing: number,
  ) {
    const { sql, transaction, windows, numbers, twins } = parts
    this.sql = sql
    this.transaction = transaction
    this.windows = windows
    this.numbers = numbers
    this.lines = new KeyLines(sql)
    this.#weight = ageing === 0 ? NO_AGEING : ageing
    this.#twins = twins
  }

  add(base: number, add: Add): void {
    const [
      seq,
      task,
      isHeld,
      stops,
      priority,
      accepted,
      due,
      afterSeq,
      key,
      uniqueKey,
      uniqueUntil,
      expires,
      payload,
      rest,
    ] = add
    const n = base + seq
    // It is said again when the thread that wrote it has died before it could say so; it has all that it needs by now.
    if (n <= this.known && this.sql.isThere.get(n) !== undefined) return
    const after = afterSeq === null ? null : this.#openFrom(base + afterSeq)
    const first = uniqueKey === null ? undefined : this.#twins.firstOf(n, uniqueKey)
    if (first !== undefined) return this.#twins.add(n, first, after, add)
    const place: Place = isHeld
      ? { state: HELD, owner: this.transaction.run, line: null, rank: accepted }
      : this.#placeFor(n, { task, priority, due, after, key })
    const { changes } = this.sql.insert.run(
      n,
      this.numbers.nameIdOf(task),
      place.state,
      place.owner,
      place.rank,
      priority,
      accepted,
      accepted,
      due,
      after,
      stops ? 1 : 0,
      key,
      place.line,
      uniqueKey,
      uniqueUntil,
      expires,
      payload,
      rest,
    )
    if (changes === 0) return this.#wasThere(n)
    this.transaction.countIn(place.state)
    if (expires !== null) this.transaction.isDueDirty = true
    this.#tellPlace(seq, place)
  }

  /** The response of a held job is over. */
  release(n: number, seq: number, due: number | null): void {
    const facts = factsOf(this.sql, this.numbers, n)
    if (facts === undefined || facts.state !== HELD) return
    this.#tellPlace(seq, this.#move(n, { ...facts, due }, HELD))
  }

  /** A job is to start over, or has come to its time: takes it as far as it can go and sends its row if it is granted. */
  advance(n: number): void {
    const facts = factsOf(this.sql, this.numbers, n)
    if (facts === undefined) return
    const place = this.#move(n, facts, facts.state)
    if (place.owner === 0) return
    this.transaction.toSend.push(n)
    // Its queueTimeout is ours to watch now.
    if (this.windows.isShared) this.transaction.isDueDirty = true
  }

  /** A held job whose process is gone goes on as if its response had ended now: its delay counts from here. */
  letGoOn(n: number): void {
    const delay = this.sql.delay.get(n)?.[0]
    if (typeof delay === 'number') this.sql.setDue.run(this.transaction.now + delay, n)
    this.advance(n)
  }

  /** A granted job failed and is to be tried again, unless it is not ours any more. */
  retry(n: number, due: number, [attempts, failures, crashes, error]: readonly SQLInputValue[]): void {
    const facts = factsOf(this.sql, this.numbers, n)
    if (facts === undefined || facts.owner !== this.transaction.run) return
    // It is said again when the thread that wrote it has died before it could say so.
    if (this.transaction.isRepeated && this.sql.isSameRetry.get(n, failures ?? 0, crashes ?? 0) !== undefined)
      return
    this.windows.leave(this.numbers.indexOf(facts.taskId))
    this.sql.retry.run(due, attempts ?? 0, failures ?? 0, crashes ?? 0, error ?? null, n)
    this.transaction.count(facts.state, RETRYABLE)
    this.transaction.isDueDirty = true
    if (due <= this.transaction.now) this.advance(n)
  }

  /** A job of a run that is gone is available again, at its old rank. */
  reclaim(n: number, suspect: number, crashes?: number, error?: string): void {
    const row = this.sql.running.get(n)
    const facts = factsOf(this.sql, this.numbers, n)
    if (row === undefined || facts === undefined) return
    const isGranted = this.windows.admit(facts.task, facts.rank)
    const [, before, , lastError] = row as [number, number, number | null, string | null]
    this.sql.reclaim.run(
      isGranted ? this.transaction.run : 0,
      suspect,
      crashes ?? before,
      error ?? lastError,
      n,
    )
    this.transaction.count(facts.state, AVAILABLE)
    if (isGranted) this.transaction.toSend.push(n)
  }

  /** Nothing of a pool is to be granted here, or it is again. */
  pause(pool: string, isPaused: boolean): void {
    this.windows.pause(pool, isPaused)
  }

  /** A granted job that has not begun waits for another process. */
  giveBack(n: number, attempts: number): void {
    const facts = factsOf(this.sql, this.numbers, n)
    if (facts === undefined || facts.owner !== this.transaction.run) return
    this.sql.giveBack.run(attempts, n, this.transaction.run)
    this.transaction.count(facts.state, AVAILABLE)
    this.windows.giveBack(this.numbers.indexOf(facts.taskId), facts.rank)
  }

  /** A dead job starts over: held, if it died of waiting for a response that is not over. */
  revive(n: number, isHeld: boolean): void {
    const [, before, , behind] = (this.sql.chain.get(n) ?? []) as (number | null)[]
    if (Number(this.sql.revive.run(n, TWIN).changes) === 0) return
    if (!isHeld) {
      if (behind === null) this.sql.passBy.run(before ?? 0, n)
      return this.advance(n)
    }
    const due = factsOf(this.sql, this.numbers, n)?.due ?? null
    // Who is added to its batch next waits for it, and so for those before it.
    const after = this.#openFrom(before ?? null)
    this.sql.place.run(
      HELD,
      this.transaction.run,
      null,
      this.transaction.now,
      this.transaction.now,
      due,
      after,
      n,
    )
    this.transaction.count(DEAD, HELD)
  }

  /** A job that is not over takes a unique key that no other holds, or lets go of its own. */
  holdKey(n: number, uniqueKey: string | null): void {
    if (uniqueKey !== null && this.#twins.firstOf(n, uniqueKey) !== undefined) return
    this.sql.holdUnique.run(uniqueKey, n)
  }

  /** Jobs whose time has come. */
  tick(): void {
    for (const [n] of this.sql.dueNow.all(this.transaction.now)) this.advance(n as number)
    for (const [n] of this.sql.expiredNow.all(this.transaction.now, this.transaction.run)) {
      this.sql.expiryTold.run(n as number)
      this.transaction.toExpire.push(n as number)
    }
    this.transaction.isDueDirty = true
  }

  /** A row that is not taken is there already, or it lacks what every job has. */
  #wasThere(n: number): void {
    if (this.sql.isThere.get(n) === undefined) throw new TypeError('a value that every job has is missing')
  }

  /** The number that the event loop knows a job by. */
  seqOf(n: number): number {
    return n - this.transaction.run * RUN_SPAN
  }

  rankOf(ready: number, priority: number): number {
    return ready - priority * this.#weight
  }

  /** The last job of a batch, from this one back, that is not over and will run; one that was revived is passed. */
  #openFrom(last: number | null): number | null {
    for (let n: number | null = last; n !== null; ) {
      const row = this.sql.chain.get(n) ?? [0, this.passed.get(n)]
      const [finished, after, twin, behind] = row as (number | null | undefined)[]
      const isRevived = typeof behind === 'number'
      if (finished === null && twin === null && !isRevived) return n
      // Nobody is number 0.
      n = (isRevived ? behind : after) || null
    }
    return null
  }

  #placeFor(n: number, { task, priority, due, after, key }: Facts): Place {
    const rank = this.rankOf(this.transaction.now, priority)
    if (after !== null) return { state: WAITING, owner: 0, line: null, rank }
    if (due !== null && due > this.transaction.now) {
      this.transaction.isDueDirty = true
      return { state: SCHEDULED, owner: 0, line: null, rank }
    }
    if (key !== null && !this.lines.take(n, key)) {
      return { state: WAITING, owner: 0, line: this.lines.end(key), rank }
    }
    return {
      state: AVAILABLE,
      owner: this.windows.admit(task, rank) ? this.transaction.run : 0,
      line: null,
      rank,
    }
  }

  #move(n: number, facts: Facts, from: number): Place {
    const place = this.#placeFor(n, facts)
    const due = place.state === SCHEDULED || place.state === WAITING ? facts.due : null
    this.sql.place.run(
      place.state,
      place.owner,
      place.line,
      place.rank,
      this.transaction.now,
      due,
      facts.after,
      n,
    )
    this.transaction.count(from, place.state)
    return place
  }

  #tellPlace(seq: number, place: Place): void {
    if (place.state === AVAILABLE && place.owner !== 0)
      this.transaction.reply.granted.push(seq, this.transaction.now)
    else if (place.state === WAITING || place.state === SCHEDULED)
      this.transaction.reply.moved.push(seq, place.state)
  }
}
