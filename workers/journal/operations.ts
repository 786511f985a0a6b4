/** What a message asks to be written, one operation after the other. */
import type { SQLInputValue } from 'node:sqlite'
import { ATTEMPTS_KEPT } from '../../src/rules/job-record.ts'
import {
  ADD_HELD,
  ADD_STOPS,
  addsIn,
  CHANGE,
  DEAD,
  errorText,
  OP,
  OP_LENGTH,
  type Reply,
} from '../../src/rules/journal-protocol.ts'
import { toWireError } from '../../src/rules/wire-error.ts'
import { NotSerializableError } from '../../src/words/errors.ts'
import { changeJob } from './changes.ts'
import type { Endings } from './endings.ts'
import type { Add, Change } from './job-facts.ts'
import { JobLogs } from './job-logs.ts'
import type { Jobs } from './jobs.ts'
import type { Statements } from './statements.ts'
import type { Transaction } from './transaction.ts'

/** What one message asks to be written. */
export interface Batch {
  readonly number: number
  readonly wall: number
  readonly ops: readonly unknown[]
  /** It was said to a thread that died, and may be written. */
  readonly isRepeated: boolean
}

/** Does something, or, when that fails on its values, takes it back and says why. */
export type Guard = (work: () => void, failed: (why: string) => void) => void

const nothing = (): void => {}

/** Carries out operations. */
export class Operations {
  /** What `seq` is counted from. */
  base = 0
  readonly #sql: Statements
  readonly #transaction: Transaction
  readonly #jobs: Jobs
  readonly #endings: Endings
  readonly #logs: JobLogs

  constructor(jobs: Jobs, endings: Endings) {
    this.#sql = jobs.sql
    this.#transaction = jobs.transaction
    this.#jobs = jobs
    this.#endings = endings
    this.#logs = new JobLogs(jobs.sql, jobs.transaction)
  }

  /** Carries out what a message says; with a guard that takes back what one of them fails at. */
  apply(ops: readonly unknown[], reply: Reply, guard?: Guard): void {
    for (let at = 0; at < ops.length; at += OP_LENGTH[ops[at] as number] as number) {
      if (guard === undefined) this.#applyOne(ops, at, reply)
      else
        guard(
          () => this.#applyOne(ops, at, reply),
          (why) => this.#applyRest(ops, at, reply, why, guard),
        )
    }
  }

  /** The jobs that a message adds are not taken in. Returns those that are there all the same, from the first time that it was said. */
  refuse({ ops, isRepeated }: Batch): number[] {
    const there: number[] = []
    for (const [seq, after] of addsIn(ops)) {
      if (isRepeated && this.#isThere(seq)) there.push(seq)
      else this.passOver(seq, after)
    }
    return there
  }

  /** A job is not taken in: who is added behind it waits for the job that it would have waited for. */
  passOver(seq: number, after: number | null): void {
    if (after !== null) this.#jobs.passed.add(this.base + seq, this.base + after)
  }

  /** A file that cannot be read tells of none. */
  #isThere(seq: number): boolean {
    try {
      return this.#sql.isThere.get(this.base + seq) !== undefined
    } catch {
      return false
    }
  }

  /** What is left of an operation whose values cannot be written. */
  #applyRest(ops: readonly unknown[], at: number, reply: Reply, why: string, guard: Guard): void {
    const seq = ops[at + 1] as number
    if (ops[at] === OP.add) {
      const [add] = addsIn(ops.slice(at, at + (OP_LENGTH[OP.add] as number)))
      this.passOver(seq, add?.[1] ?? null)
      reply.unwritable.push(seq, why)
    } else if (ops[at] === OP.retry) {
      const rest = [...ops.slice(at, at + 6), null]
      guard(() => this.#applyOne(rest, 0, reply), nothing)
    } else if (ops[at] === OP.finish) {
      const error = errorText(
        toWireError(new NotSerializableError('the result', `unfit for the journal (${why})`)),
      )
      const rest = [...ops.slice(at, at + 3), DEAD, null, error, null, ...ops.slice(at + 7, at + 14)]
      guard(() => this.#applyOne(rest, 0, reply), nothing)
      reply.unwritable.push(seq, why)
    } else if (ops[at] === OP.change) tellChange(reply, ops[at + 2] as number, CHANGE.refused)
    // What the others would have kept is a word on how a job went: the job itself goes on without.
  }

  #applyOne(ops: readonly unknown[], at: number, reply: Reply): void {
    const seq = ops[at + 1] as number
    const n = this.base + seq
    const values = ops as readonly SQLInputValue[]
    switch (ops[at]) {
      case OP.add:
        return this.#jobs.add(this.base, readAdd(ops, at))
      case OP.release:
        return this.#jobs.release(n, seq, ops[at + 2] as number | null)
      case OP.mark:
        this.#sql.mark.run(values[at + 2] ?? 0, this.#transaction.now, n, this.#transaction.run)
        return
      case OP.unmark:
        this.#sql.unmark.run(values[at + 2] ?? 0, n, this.#transaction.run)
        this.#transaction.isDueDirty = true
        return
      case OP.retry:
        return this.#jobs.retry(n, ops[at + 2] as number, values.slice(at + 3, at + 7))
      case OP.finish:
        if (!this.#endings.finish(n, ops[at + 2] === 1, values.slice(at + 3, at + 14)))
          reply.refused.push(seq)
        return
      case OP.attempt:
        this.#sql.attempt.run(n, ...values.slice(at + 2, at + 9))
        this.#sql.trimAttempts.run(n, ATTEMPTS_KEPT)
        return
      case OP.revive:
        return this.#jobs.revive(n, ops[at + 2] === 1)
      case OP.cancel:
        return this.#endings.cancel({ n, text: ops[at + 2] as string | null })
      case OP.progress:
        this.#sql.progress.run(values[at + 2] ?? null, n, this.#transaction.run)
        return
      case OP.uniqueKey:
        return this.#jobs.holdKey(n, ops[at + 2] as string | null)
      case OP.detach:
        this.#sql.passOver.run(n)
        this.#sql.detach.run(n)
        return
      case OP.tick:
        return this.#jobs.tick()
      case OP.pause:
        return this.#jobs.pause(ops[at + 1] as string, ops[at + 2] === 1)
      case OP.giveBack:
        return this.#jobs.giveBack(n, ops[at + 2] as number)
      case OP.change:
        return tellChange(reply, ops[at + 2] as number, changeJob(this.#jobs, n, readChange(ops, at)))
      case OP.ahead:
        this.#sql.setAhead.run(values[at + 1] ?? 0, this.#transaction.run)
        return
      case OP.log:
        return this.#logs.add(n, ops.slice(at + 2, at + 8) as never)
      case OP.putSchedule:
        this.#sql.putSchedule.run(...values.slice(at + 1, at + 5))
        return
      case OP.removeSchedule:
        this.#sql.removeSchedule.run(values[at + 1] ?? null)
    }
  }
}

function readChange(ops: readonly unknown[], at: number): Change {
  const [isGranted, priority, due, hasPayload, payload] = ops.slice(at + 3, at + 8)
  return {
    isGranted: isGranted === 1,
    priority: priority as number | null,
    due: due as number | null,
    payload: hasPayload === 1 ? { encoded: payload as SQLInputValue } : undefined,
  }
}

function tellChange(reply: Reply, token: number, outcome: number): void {
  reply.changed ??= []
  reply.changed.push(token, outcome)
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
