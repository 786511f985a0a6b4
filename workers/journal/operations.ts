/** What a message asks to be written, one operation after the other. */
import type { SQLInputValue } from 'node:sqlite'
import { ATTEMPTS_KEPT } from '../../src/rules/job-record.ts'
import { ADD_HELD, ADD_STOPS, OP, OP_LENGTH, type Reply } from '../../src/rules/journal-protocol.ts'
import type { Endings } from './endings.ts'
import type { Add } from './job-facts.ts'
import type { Jobs } from './jobs.ts'
import type { Statements } from './statements.ts'
import type { Turn } from './turn.ts'

/** What one message asks to be written. */
export interface Batch {
  readonly number: number
  readonly wall: number
  readonly ops: readonly unknown[]
}

/** Carries out operations. */
export class Operations {
  /** What `seq` is counted from. */
  base = 0
  /** How many there have been since this was last set. */
  count = 0
  readonly #sql: Statements
  readonly #turn: Turn
  readonly #jobs: Jobs
  readonly #endings: Endings

  constructor(jobs: Jobs, endings: Endings) {
    this.#sql = jobs.sql
    this.#turn = jobs.turn
    this.#jobs = jobs
    this.#endings = endings
  }

  /** Carries out what a message says. */
  apply(ops: readonly unknown[], reply: Reply): void {
    for (let at = 0; at < ops.length; at += OP_LENGTH[ops[at] as number] as number) {
      this.count++
      this.#applyOne(ops, at, reply)
    }
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
        this.#sql.mark.run(values[at + 2] ?? 0, this.#turn.now, n, this.#turn.run)
        return
      case OP.unmark:
        this.#sql.unmark.run(values[at + 2] ?? 0, n, this.#turn.run)
        this.#turn.isDueDirty = true
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
        this.#sql.progress.run(values[at + 2] ?? null, n, this.#turn.run)
        return
      case OP.tick:
        return this.#jobs.tick()
      case OP.putSchedule:
        this.#sql.putSchedule.run(...values.slice(at + 1, at + 4))
        return
      case OP.removeSchedule:
        this.#sql.removeSchedule.run(values[at + 1] ?? null)
    }
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

/** The same without the jobs that it adds. */
export function withoutAdds(batch: Batch): Batch {
  const ops: unknown[] = []
  for (let at = 0; at < batch.ops.length; ) {
    const length = OP_LENGTH[batch.ops[at] as number] as number
    if (batch.ops[at] !== OP.add) ops.push(...batch.ops.slice(at, at + length))
    at += length
  }
  return { ...batch, ops }
}
