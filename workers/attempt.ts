/** One attempt inside its thread: what stands behind the context of its handler, out of the handler's reach. */
import { cut, progressBound, type Sizes } from '../src/rules/bounds.ts'
import { type Encoded, encodeAnyhow, encodeReadable } from '../src/rules/codec.ts'
import { shownAs } from '../src/rules/graph.ts'
import type { MovedResult, NestedJobOptions } from '../src/rules/handler.ts'
import type { JobContext } from '../src/rules/job-record.ts'
import { type LogTail, tailEntry, tailMessages, tailOf, toldEntry } from '../src/rules/log-tail.ts'
import { ToMove } from '../src/rules/moved.ts'
import { FROM_THREAD, LEASE_LOST, NOT_ASKED } from '../src/rules/protocol.ts'
import { AftertaskError } from '../src/words/errors.ts'
import * as pristine from './pristine.ts'
import { type RunningAttempt, whose } from './whose.ts'

/** What an attempt asks of whoever runs it. */
export interface AttemptHost {
  /** How large what comes from a handler may be; undefined for no bounds. */
  readonly sizes: Sizes | undefined
  jobId(seq: number): string
  /** Whether an attempt is to end: NOT_ASKED, ASKED or LEASE_LOST. */
  asked(slot: number): number
  /** What becomes of that which handlers print: see `LaneSetup`. */
  readonly printed: 'kept' | 'taken' | undefined
  /** Where the last lines of an attempt go that says more than is posted. */
  readonly tail: LogTail
  /** Now, on the event loop's clock. */
  now(): number
  post(message: readonly unknown[]): void
  enqueue(by: Attempt, task: string, payload: unknown, options: NestedJobOptions | undefined): Promise<string>
}

const getter = (name: 'aborted' | 'reason') =>
  Object.getOwnPropertyDescriptor(AbortSignal.prototype, name)?.get as (this: AbortSignal) => unknown
const isAborted = getter('aborted')
const reasonOf = getter('reason')
const { throwIfAborted } = AbortSignal.prototype

const PROGRESS_EVERY = 20
/** Of what an attempt says, so much is posted as it comes. */
const MOST_LOG_LINES = 1000
const MOST_LOG_BYTES = 2 ** 20
/** Characters of what a line says that is told once its attempt is over, and of its data. */
const LONGEST_IN_TAIL = 4096

/** The running attempt of a job. */
export class Attempt implements RunningAttempt {
  readonly slot: number
  readonly attempt: number
  readonly name: string
  /** True once its outcome is told: what the handler does from then on has no effect. */
  isOver = false
  /** True once it has posted something of its own: its outcome then takes the same way, so as not to overtake it. */
  hasPosted = false
  readonly #host: AttemptHost
  readonly #id: number | string
  readonly #context: JobContext | undefined
  #controller: AbortController | undefined
  /** Why it was asked to end, once the message has come. */
  #abortedFor: Error | undefined
  #logLines = 0
  #logBytes = 0
  /** Lines that were not posted as they came. */
  #untold = 0
  #progressAt = -PROGRESS_EVERY
  #progressTimer: NodeJS.Timeout | undefined
  #pendingProgress: { readonly value: Encoded } | undefined

  constructor(
    host: AttemptHost,
    slot: number,
    name: string,
    attempt: number,
    id: number | string,
    context: JobContext | undefined,
  ) {
    this.#host = host
    this.slot = slot
    this.name = name
    this.attempt = attempt
    this.#id = id
    this.#context = context
  }

  get id(): string {
    return typeof this.#id === 'string' ? this.#id : this.#host.jobId(this.#id)
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

  async enqueue(task: unknown, payload: unknown, options: NestedJobOptions | undefined): Promise<string> {
    const name = typeof task === 'string' ? task : String((task as { name?: unknown } | null)?.name)
    return this.#host.enqueue(this, name, payload, options)
  }

  transfer<Result>(result: Result, buffers: readonly ArrayBuffer[]): MovedResult<Result> {
    return new ToMove(result, buffers) as never
  }

  progress(given: unknown): void {
    if (this.isOver) return
    // Also where it is not told yet: it is a snapshot, and a value that cannot travel is refused where it was given.
    const { sizes } = this.#host
    this.#passOn(encodeReadable(given, 'progress', sizes && progressBound(this.name, sizes.progress)))
  }

  log(level: string, message: unknown, data: unknown): void {
    if (this.isOver) return
    const most = this.#host.sizes?.log
    const line = most !== undefined && typeof message === 'string' ? cut(message, most) : shownAs(message)
    this.#say(level, line, encodeAnyhow(data, most), 'log')
  }

  /** What its handler has printed. True when that is not to be printed as well. */
  printed(from: 'stdout' | 'stderr', text: string): boolean {
    const { printed, sizes } = this.#host
    if (this.isOver || printed === undefined) return false
    const isTold = this.#say(
      from === 'stdout' ? 'info' : 'warn',
      cut(text, sizes?.log ?? MOST_LOG_BYTES),
      undefined,
      from,
    )
    // What is told later, or not at all, is printed as it is: nothing of it gets lost.
    return isTold && printed === 'taken'
  }

  /** True when the line was posted. Beyond a bound lines stay in the thread's tail: the last of them are told at the end. */
  #say(level: string, message: string, data: Encoded, from: 'log' | 'stdout' | 'stderr'): boolean {
    const at = this.#host.now()
    if (this.#untold === 0) {
      this.#logLines++
      this.#logBytes += message.length + (data?.length ?? 0)
      if (this.#logLines <= MOST_LOG_LINES && this.#logBytes <= MOST_LOG_BYTES) {
        this.#post([FROM_THREAD.log, this.slot, level, message, data, at, from])
        return true
      }
      const how = `more than ${MOST_LOG_LINES} lines or ${MOST_LOG_BYTES} bytes; of the rest the last ones come when the attempt is over`
      this.#post([FROM_THREAD.log, this.slot, 'warn', how, undefined, at, 'runtime'])
    }
    const short = typeof data === 'string' && data.length <= LONGEST_IN_TAIL ? data : undefined
    this.#host.tail.add(
      tailEntry([this.slot, ++this.#untold, level, cut(message, LONGEST_IN_TAIL), short, at, from]),
    )
    return false
  }

  /** The last lines that were not posted as they came, and how many before them are gone. */
  #tellTail(): void {
    const { tail } = this.#host
    const { lines, dropped } = tailOf(tail, this.slot)
    for (const message of tailMessages(lines, dropped)) this.#post([FROM_THREAD.log, this.slot, ...message])
    tail.add(toldEntry(this.slot))
  }

  /** The soft abort: reaches listeners of `signal`, if the handler lets the thread's loop turn. */
  abort(reason: string): void {
    const controller = this.#controller
    const why = abortReason(reason, this.#host.asked(this.slot))
    this.#abortedFor = why
    if (controller === undefined) return
    // What a listener throws is its own attempt's.
    whose.run(this, () => pristine.abort(controller, why))
  }

  /** The outcome is about to be told: what was held back goes first. */
  end(): void {
    if (this.#pendingProgress !== undefined) this.#flushProgress()
    if (this.#untold > 0 && !this.isOver) this.#tellTail()
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
    const controller = new pristine.AbortController()
    const { signal } = controller
    const look = (reader?: (...args: never[]) => unknown): void => {
      const asked = this.isOver ? NOT_ASKED : this.#host.asked(this.slot)
      if (asked === NOT_ASKED || isAborted.call(signal) || (reader && isCalledByNode(reader))) return
      pristine.abort(controller, abortReason('The attempt is to end.', asked))
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
    // An abort whose message is still on its way comes to those who listen by then. One that has come reached nobody.
    if (this.#abortedFor !== undefined) pristine.abort(controller, this.#abortedFor)
    return controller
  }

  #post(message: readonly unknown[]): void {
    this.hasPosted = true
    this.#host.post(message)
  }

  #passOn(value: Encoded): void {
    const now = pristine.now()
    const wait = this.#progressAt + PROGRESS_EVERY - now
    if (wait <= 0) {
      this.#pendingProgress = undefined
      this.#progressAt = now
      this.#post([FROM_THREAD.progress, this.slot, value])
      return
    }
    this.#pendingProgress = { value }
    this.#progressTimer ??= pristine.setTimeout(() => this.#flushProgress(), wait).unref()
  }

  #flushProgress(): void {
    pristine.clearTimeout(this.#progressTimer)
    this.#progressTimer = undefined
    const pending = this.#pendingProgress
    if (pending === undefined || this.isOver) return
    this.#progressAt = -PROGRESS_EVERY
    this.#passOn(pending.value)
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
  return pristine.callerOf(callee).includes('node:internal')
}
