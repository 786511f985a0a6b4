/**
 * The rules of when a job may run, as changes to the file: a job waits for its response, for the one before it in its
 * batch, for its time, for its place in its key's line; then it is available, and granted to the event loop's window
 * or spilled. Every change of one turn is one transaction, so a crash finds either all of it or none.
 */
import type { SQLInputValue } from 'node:sqlite'
import {
  AVAILABLE,
  BATCH_FAILED,
  CANCELLED,
  DEAD,
  DUPLICATE,
  HELD,
  type JournalTask,
  RETRYABLE,
  type Reply,
  RUN_SPAN,
  RUNNING,
  SCHEDULED,
  SKIPPED,
  WAITING,
} from '../../src/rules/journal-protocol.ts'
import type { Add, End, Facts, KnownFacts, Place } from './job-facts.ts'
import { KeyLines } from './key-lines.ts'
import type { Statements } from './statements.ts'
import type { Windows } from './windows.ts'

// Without ageing a step of priority weighs more than any wait.
const NO_AGEING = 2 ** 40

/** The jobs of the file. `now` and `reply` are set for each transaction. */
export class Jobs {
  readonly windows: Windows
  readonly sql: Statements
  readonly tasks: readonly JournalTask[]
  /** How many jobs are in each state. */
  counts: number[] = new Array(10).fill(0)
  now = 0
  reply!: Reply
  /** Jobs whose rows go out with the reply: granted ones whose record may not be at hand. */
  readonly toSend: number[] = []
  /** Jobs that ended in the journal itself. */
  readonly toTell: number[] = []
  /** Jobs that have waited too long for their first attempt. */
  readonly toExpire: number[] = []
  /** True when the next due time may have changed. */
  isDueDirty = true
  run = 0
  /** Available jobs of tasks that this process does not have: they wait for one that does. */
  strangers = 0
  readonly #weight: number
  readonly #lines: KeyLines
  readonly #toSkip: number[] = []
  #isSkipping = false
  readonly #ids: readonly number[]
  readonly #indexes: ReadonlyMap<number, number>

  constructor(sql: Statements, windows: Windows, tasks: readonly JournalTask[], ageing: number) {
    this.sql = sql
    this.#lines = new KeyLines(sql)
    this.windows = windows
    this.tasks = tasks
    this.#weight = ageing === 0 ? NO_AGEING : ageing
    this.#ids = tasks.map(({ name }) => sql.addName.get(name)?.[0] as number)
    this.#indexes = new Map(this.#ids.map((id, index) => [id, index]))
  }

  /** The number that the event loop knows a task by; -1 when this process has no such task. */
  indexOf(id: number): number {
    return this.#indexes.get(id) ?? -1
  }

  /** The number that the file knows a task by. */
  nameIdOf(index: number): number {
    return this.#ids[index] as number
  }

  /** The task that a filter names; -1 when the file has none such. */
  nameIdFor(name: string): number {
    const index = this.tasks.findIndex((task) => task.name === name)
    return index === -1 ? ((this.sql.addName.get(name)?.[0] as number) ?? -1) : this.nameIdOf(index)
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
    if (uniqueKey !== null && this.#isDuplicate(n, uniqueKey)) return this.#addDuplicate(n, add)
    const before = afterSeq === null ? null : base + afterSeq
    const after = before !== null && this.sql.isOpen.get(before) !== undefined ? before : null
    const place: Place = isHeld
      ? { state: HELD, owner: this.run, line: null, rank: accepted }
      : this.#placeFor(n, { task, priority, due, after, key })
    const { changes } = this.sql.insert.run(
      n,
      this.nameIdOf(task),
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
    // A batch that is written for the second time, since its first reply was lost.
    if (changes === 0) return
    this.counts[place.state] = (this.counts[place.state] ?? 0) + 1
    if (expires !== null) this.isDueDirty = true
    this.#tellPlace(seq, place)
  }

  /** The response of a held job is over. */
  release(n: number, seq: number, due: number | null): void {
    const facts = this.#facts(n)
    if (facts === undefined || facts.state !== HELD) return
    this.#tellPlace(seq, this.#move(n, { ...facts, due }, HELD))
  }

  /** A job is to start over, or has come to its time: takes it as far as it can go and sends its row if it is granted. */
  advance(n: number): void {
    const facts = this.#facts(n)
    if (facts === undefined) return
    const place = this.#move(n, facts, facts.state)
    if (place.owner !== 0) this.toSend.push(n)
  }

  /** A granted job failed and is to be tried again. False when it is not ours any more. */
  retry(n: number, due: number, [attempts, failures, crashes, error]: readonly SQLInputValue[]): boolean {
    const facts = this.#facts(n)
    if (facts === undefined || facts.owner !== this.run) return false
    this.windows.leave(this.indexOf(facts.taskId))
    this.sql.retry.run(due, attempts ?? 0, failures ?? 0, crashes ?? 0, error ?? null, n)
    this.#count(facts.state, RETRYABLE)
    this.isDueDirty = true
    if (due <= this.now) this.advance(n)
    return true
  }

  /** Ends a job as the event loop says. False when it is over already, or not ours any more. */
  finish(n: number, isClaimed: boolean, values: readonly SQLInputValue[]): boolean {
    const facts = this.#facts(n)
    if (facts === undefined) return false
    const isOthers = facts.owner !== 0 && facts.owner !== this.run
    if (isOthers || (isClaimed && facts.owner !== this.run)) return false
    const [state, result, error, reason, attempts, failures, crashes, started, ended, thread, cpu] =
      values as never[]
    this.#leave(facts)
    this.sql.finish.run(
      state ?? CANCELLED,
      result ?? null,
      error ?? null,
      reason ?? null,
      attempts ?? 0,
      failures ?? 0,
      crashes ?? 0,
      started ?? null,
      ended ?? this.now,
      thread ?? null,
      cpu ?? null,
      n,
    )
    this.#count(facts.state, Number(state))
    this.#goOn(n, facts, Number(state), reason ?? null)
    return true
  }

  /** Ends a job by the journal's own decision, and tells of it. */
  end(n: number, { state, reason, error, crashes }: End): void {
    const facts = this.#facts(n)
    if (facts === undefined) return
    this.#leave(facts)
    this.sql.end.run(state, reason, error, crashes, this.now, n)
    this.#count(facts.state, state)
    this.toTell.push(n)
    this.#goOn(n, facts, state, reason)
  }

  /** A job of a run that is gone is available again, at its old rank. */
  reclaim(n: number, suspect: number, crashes?: number, error?: string): void {
    const row = this.sql.running.get(n)
    const facts = this.#facts(n)
    if (row === undefined || facts === undefined) return
    const isGranted = this.windows.admit(facts.task, facts.rank)
    const [, before, , lastError] = row as [number, number, number | null, string | null]
    this.sql.reclaim.run(isGranted ? this.run : 0, suspect, crashes ?? before, error ?? lastError, n)
    this.#count(facts.state, AVAILABLE)
    if (isGranted) this.toSend.push(n)
  }

  /** A dead job starts over: held, if it died of waiting for a response that is not over. */
  revive(n: number, isHeld: boolean): void {
    if (Number(this.sql.revive.run(n).changes) === 0) return
    if (!isHeld) return this.advance(n)
    this.sql.place.run(HELD, this.run, null, this.now, this.now, null, null, n)
    this.#count(DEAD, HELD)
  }

  /** Jobs whose time has come. */
  tick(): void {
    for (const [n] of this.sql.dueNow.all(this.now)) this.advance(n as number)
    for (const [n] of this.sql.expiredNow.all(this.now)) {
      this.sql.unexpire.run(n as number)
      this.toExpire.push(n as number)
    }
    this.isDueDirty = true
  }

  /** Grants what is spilled, best first, to pools that have become half empty. */
  refill(): void {
    for (const pool of this.windows.pools.keys()) {
      const tasks = this.windows.wanting(pool)
      if (tasks.length > 0) this.#refill(pool, tasks)
    }
  }

  /** Counts what is spilled, by looking: at the start, and where other processes change it too. */
  lookAtSpilled(): void {
    const rows = this.sql.spilledCounts.all() as readonly (readonly [number, number, number])[]
    const found = new Map(rows.map(([id, count, rank]) => [this.indexOf(id), [count, rank] as const]))
    this.strangers = found.get(-1)?.[0] ?? 0
    for (const task of this.tasks.keys()) {
      const [count, rank] = found.get(task) ?? [0, 0]
      this.windows.setSpilled(task, count, rank)
    }
  }

  /** The number that the event loop knows a job by. */
  seqOf(n: number): number {
    return n - this.run * RUN_SPAN
  }

  rankOf(ready: number, priority: number): number {
    return ready - priority * this.#weight
  }

  #refill(pool: number, tasks: readonly number[]): void {
    const room = this.windows.room(pool)
    const share = Math.max(64, Math.ceil((2 * room) / tasks.length))
    let bound = Number.POSITIVE_INFINITY
    const found: { n: number; rank: number; task: number }[] = []
    for (const task of tasks) {
      const limit = Math.min(share, this.windows.roomOf(task), room)
      const rows = this.sql.spilled.all(this.nameIdOf(task), limit)
      for (const [n, rank] of rows) found.push({ n: n as number, rank: rank as number, task })
      // What lies behind the last one of a full list has not been seen.
      if (rows.length === limit && limit === share) bound = Math.min(bound, rows.at(-1)?.[1] as number)
      if (rows.length === 0) this.windows.setSpilled(task, 0, 0)
    }
    found.sort((a, b) => a.rank - b.rank || a.n - b.n)
    for (const { n, rank, task } of found.slice(0, room)) {
      if (rank > bound) break
      this.windows.unspill(task, rank)
      if (Number(this.sql.take.run(this.run, n).changes) === 0) continue
      this.windows.grant(task, rank)
      this.toSend.push(n)
    }
  }

  #placeFor(n: number, { task, priority, due, after, key }: Facts): Place {
    const rank = this.rankOf(this.now, priority)
    if (after !== null) return { state: WAITING, owner: 0, line: null, rank }
    if (due !== null && due > this.now) {
      this.isDueDirty = true
      return { state: SCHEDULED, owner: 0, line: null, rank }
    }
    if (key !== null && !this.#lines.take(n, key)) {
      return { state: WAITING, owner: 0, line: this.#lines.end(key), rank }
    }
    return { state: AVAILABLE, owner: this.windows.admit(task, rank) ? this.run : 0, line: null, rank }
  }

  #move(n: number, facts: Facts, from: number): Place {
    const place = this.#placeFor(n, facts)
    const due = place.state === SCHEDULED || place.state === WAITING ? facts.due : null
    this.sql.place.run(place.state, place.owner, place.line, place.rank, this.now, due, facts.after, n)
    this.#count(from, place.state)
    return place
  }

  #tellPlace(seq: number, place: Place): void {
    if (place.state === AVAILABLE && place.owner !== 0) this.reply.granted.push(seq, this.now)
    else if (place.state === WAITING || place.state === SCHEDULED) this.reply.moved.push(seq, place.state)
  }

  /** The job is over: whoever waited for it goes on. A loop, not a recursion, since a batch may be long. */
  #goOn(n: number, facts: Facts, state: number, reason: string | null): void {
    this.#unblock(n, facts, state, reason)
    if (this.#isSkipping) return
    this.#isSkipping = true
    for (let next = this.#toSkip.pop(); next !== undefined; next = this.#toSkip.pop()) {
      this.end(next, { state: SKIPPED, reason: BATCH_FAILED, error: null, crashes: 0 })
    }
    this.#isSkipping = false
  }

  #unblock(n: number, { key, after }: Facts, state: number, reason: string | null): void {
    const next = key === null ? undefined : this.#lines.leave(n, key)
    if (next !== undefined) this.advance(next)
    for (const [follower, stops, nextState] of this.sql.followers.all(n) as [number, number, number][]) {
      // Who waited for a job that was cancelled in the middle of its batch now waits for the one before it.
      this.sql.relink.run(after, follower)
      const isSkipped = (state === DEAD && stops === 1) || reason === BATCH_FAILED
      if (isSkipped) this.#toSkip.push(follower)
      else if (nextState === WAITING && after === null) this.advance(follower)
    }
  }

  #leave(facts: { state: number; owner: number; taskId: number }): void {
    if (facts.state !== AVAILABLE && facts.state !== RUNNING) return
    if (facts.owner === this.run) this.windows.leave(this.indexOf(facts.taskId))
    else if (facts.owner === 0) this.windows.unspill(this.indexOf(facts.taskId))
  }

  #isDuplicate(n: number, uniqueKey: string): boolean {
    this.sql.freeUnique.run(uniqueKey, this.now)
    const holder = this.sql.uniqueHolder.get(uniqueKey)?.[0]
    return holder !== undefined && holder !== n
  }

  #addDuplicate(n: number, [, task, , , priority, accepted, , , key, , , , payload, rest]: Add): void {
    const id = this.nameIdOf(task)
    const { changes } = this.sql.insert.run(
      n,
      id,
      AVAILABLE,
      0,
      accepted,
      priority,
      accepted,
      accepted,
      null,
      null,
      0,
      key,
      null,
      null,
      null,
      null,
      payload,
      rest,
    )
    if (changes === 0) return
    this.sql.end.run(SKIPPED, DUPLICATE, null, 0, this.now, n)
    this.counts[SKIPPED] = (this.counts[SKIPPED] ?? 0) + 1
    this.toTell.push(n)
  }

  #facts(n: number): KnownFacts | undefined {
    const row = this.sql.facts.get(n)
    if (row === undefined) return undefined
    type Columns = [
      number,
      number,
      number,
      number,
      number | null,
      number | null,
      string | null,
      number | null,
      number,
    ]
    const [taskId, state, owner, priority, due, after, key, , rank] = row as unknown as Columns
    return { taskId, task: this.indexOf(taskId), state, owner, priority, due, after, key, rank }
  }

  #count(from: number, to: number): void {
    this.counts[from] = (this.counts[from] ?? 0) - 1
    this.counts[to] = (this.counts[to] ?? 0) + 1
  }
}
