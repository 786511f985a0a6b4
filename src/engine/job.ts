/** The handle of a job: what `req.after` and `enqueue` return. */

import { readOrError } from '../rules/codec.ts'
import type { JobRecord, KeptEnd } from '../rules/job-record.ts'
import { readResult } from '../rules/moved.ts'
import { fromWireError, type WireError } from '../rules/wire-error.ts'
import { JobLostError, TaskCancelledError, TaskSkippedError } from '../words/errors.ts'
import { isTerminal, type JobInfo, type JobState, type Settlement, type TerminalState } from '../words/job.ts'
import { ignoreRejection } from '../words/thenables.ts'
import type { Redaction } from './redaction.ts'

/** What a handle needs of the runtime. */
export interface JobOwner {
  idOf(record: JobRecord): string
  stateOf(record: JobRecord): JobState
  cancel(record: JobRecord, reason: unknown): boolean
  wallTime(monotonic: number): number
  /** Resolves when the broker holds the job as safely as it can. */
  stored(record: JobRecord): Promise<void>
  /** The record's end is awaited. */
  pin(record: JobRecord): void
  /** How a job ended of which only its name is left here. */
  settlementOf(stub: JobRecord): Promise<Settlement>
  /** The record that is told of what becomes of the job. */
  current(record: JobRecord): JobRecord
  /** Hides what is secret in what is told of a job. */
  readonly redaction: Redaction
}

/** `util.inspect`, as Node hands it to whatever says itself how it is shown. */
export type Inspect = (value: unknown, options?: object) => string

/** One accepted job, as its owner sees it. Promises are made when first asked for. */
export class Job<Result = unknown> {
  readonly #record: JobRecord
  readonly #owner: JobOwner

  /** @internal */
  constructor(record: JobRecord, owner: JobOwner) {
    this.#record = record
    this.#owner = owner
  }

  /** The job's id, unique over processes. */
  get id(): string {
    return this.#owner.idOf(this.#record)
  }

  /** The task's name. */
  get name(): string {
    return this.#record.entry.task.name
  }

  /** Where the job stands at this moment. */
  get state(): JobState {
    return this.#owner.stateOf(this.#record)
  }

  /** What the handler last gave to `ctx.progress`. */
  get progress(): unknown {
    return progressOf(this.#owner.current(this.#record))
  }

  /**
   * Resolves when the broker holds the job as safely as it can: at once in memory, after the commit in a journal.
   * Rejects when the broker could not take it.
   */
  get stored(): Promise<void> {
    return this.#owner.stored(this.#record)
  }

  /** Resolves when the job is over, however it ended; never rejects. */
  get settled(): Promise<Settlement<Result>> {
    const record = this.#owner.current(this.#record)
    if (record.extras?.isStub === true) return this.#owner.settlementOf(record) as Promise<Settlement<Result>>
    // A durable broker tells of an end once it is written.
    const isOver = isTerminal(record.state) && record.extras?.isUnreported !== true
    if (isOver) return Promise.resolve(settlementOf(record)) as Promise<Settlement<Result>>
    record.more.settle ??= Promise.withResolvers<KeptEnd>()
    this.#owner.pin(record)
    return record.more.settle.promise.then(settlementFrom) as Promise<Settlement<Result>>
  }

  /**
   * Resolves to what the handler returned; rejects with the task's own error, or with why the job did not run. That nobody
   * waits for it is no error of the program: events and lines tell of the job's end in any case.
   */
  result(): Promise<Result> {
    const result = this.#result()
    ignoreRejection(result)
    return result
  }

  async #result(): Promise<Result> {
    const settlement = await this.settled
    if (settlement.error !== undefined) throw settlement.error
    return settlement.result as Result
  }

  /**
   * Cancels the job: one that has not started never will; a running attempt is aborted through its `ctx.signal`, and its
   * thread ended after `killGrace`. Returns false when the job was already over.
   */
  cancel(reason?: unknown): boolean {
    return this.#owner.cancel(this.#record, reason)
  }

  /** The facts of the job at this moment, as plain data. */
  toJSON(): JobInfo {
    return infoOf(this.#owner.current(this.#record), this.#owner)
  }

  /** What `console.log(job)` shows. @internal */
  [Symbol.for('nodejs.util.inspect.custom')](_depth: number, options: object, inspect: Inspect): string {
    const { id, name, state } = this
    return `Job ${inspect({ id, name, state }, options)}`
  }
}

/** The facts of a job as plain data. What is secret in them is hidden, unless it is to be revealed. */
export function infoOf(record: JobRecord, owner: JobOwner, reveal = false): JobInfo {
  const { extras } = record
  const shown = <Value>(value: Value): Value => (reveal ? value : owner.redaction.value(record, value))
  const end = record.state === 'completed' ? settlementOf(record) : { error: errorOf(record) }
  const { error } = end
  const result = 'result' in end ? end.result : undefined
  const code = error && Reflect.get(error, 'code')
  const progress = progressOf(record)
  return {
    id: owner.idOf(record),
    name: record.entry.task.name,
    state: owner.stateOf(record),
    attempts: record.attempts,
    ...(progress === undefined ? {} : { progress: shown(progress) }),
    ...(result === undefined ? {} : { result: shown(result) }),
    ...(error
      ? {
          error: {
            name: error.name,
            message: shown(error.message),
            ...(typeof code === 'string' ? { code } : {}),
          },
        }
      : {}),
    ...(extras?.reason === undefined ? {} : { reason: shown(extras.reason) }),
    enqueuedAt: owner.wallTime(record.acceptedAt),
    ...(isTerminal(record.state) ? { settledAt: owner.wallTime(record.readyAt) } : {}),
    priority: record.priority,
    ...(extras?.key === undefined ? {} : { key: extras.key }),
  }
}

/** How a job that is over ended. */
export function settlementOf(record: JobRecord): Settlement {
  return settlementFrom(keptEndOf(record))
}

/** The same as it is kept. */
export function keptEndOf(record: JobRecord): KeptEnd {
  const { attempts, result } = record
  const state = record.state as TerminalState
  const error = state === 'completed' ? undefined : (record.extras?.errors?.at(-1) ?? whyNot(record))
  return { state, attempts, result, error }
}

/** The end as one caller gets it: what is in it is his. */
function settlementFrom({ state, attempts, result, error }: KeptEnd): Settlement {
  if (state !== 'completed') return { state, error: asError(error as WireError | Error), attempts }
  try {
    return { state, result: readResult(result, 'the result'), attempts }
  } catch (unreadable) {
    return { state, error: unreadable as Error, attempts }
  }
}

/** What a completed job resulted in, or why that cannot be read. */
export function resultOf(record: JobRecord): unknown {
  const { result, error } = settlementOf(record)
  return error ?? result
}

/** What a job last told of how far it is. */
export function progressOf(record: JobRecord): unknown {
  return readOrError(record.extras?.progress, 'progress')
}

/** The last error of a job. */
export function errorOf(record: JobRecord): Error | undefined {
  const last = record.extras?.errors?.at(-1)
  return last === undefined ? undefined : asError(last)
}

function asError(error: WireError | Error): Error {
  return error instanceof Error ? error : fromWireError(error)
}

function whyNot(record: JobRecord): Error {
  const { name } = record.entry.task
  if (record.state === 'skipped')
    return new TaskSkippedError(name, record.extras?.reason ?? 'its response did not call for it')
  return record.extras?.reason === 'lost' ? new JobLostError(name) : new TaskCancelledError(name)
}
