/** One attempt inside its thread: what the handler gets as its context. Everything is made at its first use. */

import { performance } from 'node:perf_hooks'
import { type Encoded, encode } from '../src/rules/codec.ts'
import type { HandlerContext, HandlerLog, MovedResult, NestedJobOptions } from '../src/rules/handler.ts'
import { type JobContext, Moved } from '../src/rules/job-record.ts'
import { FROM_THREAD, LEASE_LOST, NOT_ASKED } from '../src/rules/protocol.ts'
import { AftertaskError } from '../src/words/errors.ts'
import type { JobRunner } from './job-runner.ts'

const getter = (name: 'aborted' | 'reason') =>
  Object.getOwnPropertyDescriptor(AbortSignal.prototype, name)?.get as (this: AbortSignal) => unknown
const isAborted = getter('aborted')
const reasonOf = getter('reason')
const { throwIfAborted } = AbortSignal.prototype

const PROGRESS_EVERY = 20
const MOST_LOG_LINES = 1000

/** The running attempt of a job. */
export class Attempt implements HandlerContext {
  readonly slot: number
  readonly attempt: number
  readonly name: string
  /** True once its outcome is told: what the handler does from then on has no effect. */
  isOver = false
  /** True once it has posted something of its own: its outcome then takes the same way, so as not to overtake it. */
  hasPosted = false
  readonly #runner: JobRunner
  readonly #id: number | string
  readonly #context: JobContext | undefined
  #controller: AbortController | undefined
  #logLines = 0
  #progressAt = -PROGRESS_EVERY
  #progressTimer: NodeJS.Timeout | undefined
  #pendingProgress: { readonly value: Encoded } | undefined

  constructor(
    runner: JobRunner,
    slot: number,
    name: string,
    attempt: number,
    id: number | string,
    context: JobContext | undefined,
  ) {
    this.#runner = runner
    this.slot = slot
    this.name = name
    this.attempt = attempt
    this.#id = id
    this.#context = context
  }

  get id(): string {
    return typeof this.#id === 'string' ? this.#id : this.#runner.jobId(this.#id)
  }

  get requestId(): string | undefined {
    return this.#context?.requestId
  }

  get traceparent(): string | undefined {
    return this.#context?.traceparent
  }

  get baggage(): Readonly<Record<string, string>> {
    return this.#context?.baggage ?? {}
  }

  get signal(): AbortSignal {
    this.#controller ??= this.#makeController()
    return this.#controller.signal
  }

  get progress(): (value: unknown) => void {
    return (value) => this.#tellProgress(value)
  }

  get log(): HandlerLog {
    const line = (level: string) => (message: string, data?: unknown) => this.#tellLog(level, message, data)
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
  }

  get enqueue(): HandlerContext['enqueue'] {
    return async (task: unknown, payload?: unknown, options?: NestedJobOptions) => {
      const name = typeof task === 'string' ? task : String((task as { name?: unknown } | null)?.name)
      return this.#runner.enqueue(this, name, payload, options)
    }
  }

  get transfer(): <Result>(result: Result, buffers: readonly ArrayBuffer[]) => MovedResult<Result> {
    return (result, buffers) => new Moved(result, buffers) as never
  }

  /** The soft abort: reaches listeners of `signal`, if the handler lets the thread's loop turn. */
  abort(reason: string): void {
    this.#controller?.abort(abortReason(reason, this.#runner.asked(this.slot)))
  }

  /** The outcome is about to be told: what was held back goes first. */
  end(): void {
    if (this.#pendingProgress !== undefined) this.#flushProgress()
    this.isOver = true
  }

  /**
   * `aborted` and `throwIfAborted` first look at the word that the event loop's side sets, so that a handler that never
   * lets its thread's loop turn sees the abort as well. `fetch` and the like read the signal's internals, which the
   * abort message sets.
   *
   * Node's own code must not see it that early: it asks twice in a row, before and while it adds a listener, and does
   * not expect the answer to change in between. A timer with `AbortSignal.any([signal])` that met this was never
   * cancelled. It hears of the abort through the message, as of any other.
   */
  #makeController(): AbortController {
    const controller = new AbortController()
    const { signal } = controller
    const look = (reader?: (...args: never[]) => unknown): void => {
      const asked = this.isOver ? NOT_ASKED : this.#runner.asked(this.slot)
      if (asked === NOT_ASKED || isAborted.call(signal) || (reader && isCalledByNode(reader))) return
      controller.abort(abortReason('The attempt is to end.', asked))
    }
    const looking = <Args extends unknown[], Result>(
      method: (this: AbortSignal, ...args: Args) => Result,
    ) => {
      const reader = (...args: Args): Result => {
        look(reader)
        return method.apply(signal, args)
      }
      return reader
    }
    Object.defineProperties(signal, {
      aborted: { get: looking(isAborted), configurable: true },
      reason: { get: looking(reasonOf), configurable: true },
      throwIfAborted: { value: looking(throwIfAborted), configurable: true },
    })
    look()
    return controller
  }

  #post(message: readonly unknown[]): void {
    this.hasPosted = true
    this.#runner.post(message)
  }

  #tellProgress(given: unknown): void {
    if (this.isOver) return
    // Also where it is not told yet: it is a snapshot, and a value that cannot travel is refused where it was given.
    this.#passOn(encode(given, 'progress'))
  }

  #passOn(value: Encoded): void {
    const now = performance.now()
    const wait = this.#progressAt + PROGRESS_EVERY - now
    if (wait <= 0) {
      this.#pendingProgress = undefined
      this.#progressAt = now
      this.#post([FROM_THREAD.progress, this.slot, value])
      return
    }
    this.#pendingProgress = { value }
    this.#progressTimer ??= setTimeout(() => this.#flushProgress(), wait).unref()
  }

  #flushProgress(): void {
    clearTimeout(this.#progressTimer)
    this.#progressTimer = undefined
    const pending = this.#pendingProgress
    if (pending === undefined || this.isOver) return
    this.#progressAt = -PROGRESS_EVERY
    this.#passOn(pending.value)
  }

  #tellLog(level: string, message: string, data: unknown): void {
    if (this.isOver || ++this.#logLines > MOST_LOG_LINES + 1) return
    if (this.#logLines > MOST_LOG_LINES) {
      return this.#post([
        FROM_THREAD.log,
        this.slot,
        'warn',
        `more than ${MOST_LOG_LINES} lines; the rest is dropped`,
        undefined,
      ])
    }
    this.#post([FROM_THREAD.log, this.slot, level, String(message), encodeIfPossible(data)])
  }
}

/** Data for a log line: a line is no reason for a job to fail. */
function encodeIfPossible(data: unknown): Encoded {
  try {
    return encode(data, 'data')
  } catch (error) {
    return encode(String(error), 'data')
  }
}

/** The reason of an abort, in the platform's words, with a code of ours. */
function abortReason(message: string, asked: number): Error {
  return new AttemptAbortedError(asked === LEASE_LOST ? 'ERR_LEASE_LOST' : 'ERR_ATTEMPT_ABORTED', message)
}

class AttemptAbortedError extends AftertaskError {
  constructor(code: string, message: string) {
    super(code, message)
  }

  override get name(): string {
    return 'AbortError'
  }
}

/** True when it is Node's own code that calls this function. Asked once an abort is under way, and then once or twice. */
function isCalledByNode(callee: (...args: never[]) => unknown): boolean {
  const { stackTraceLimit } = Error
  const at = { stack: '' }
  Error.stackTraceLimit = 1
  Error.captureStackTrace(at, callee)
  Error.stackTraceLimit = stackTraceLimit
  return String(at.stack).includes('node:internal')
}
