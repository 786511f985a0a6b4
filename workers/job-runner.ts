/**
 * Runs jobs inside a thread: takes bundles from the port, starts each job that has not been taken back, and tells the
 * outcomes through the table. `src/rules/protocol` says what the words of the table mean.
 *
 * The path of a short job is: compare-and-exchange its state, call the handler, write two times and a length, add its
 * slot to the log. A message (the bell) goes out when there is nothing left to start, or when the loop turns first:
 * so a bundle of a thousand short jobs costs one message, and no outcome waits behind a handler that waits itself.
 */
// long because: it is the path of a job through its thread, from the message to the outcome
import { getHeapStatistics } from 'node:v8'
import type { MessagePort } from 'node:worker_threads'
import { type Bound, payloadBound, resultBound, type Sizes } from '../src/rules/bounds.ts'
import { type Encoded, encodeReadable, read, readPosted } from '../src/rules/codec.ts'
import type { NestedJobOptions } from '../src/rules/handler.ts'
import type { LogTail } from '../src/rules/log-tail.ts'
import { buffersOf, Moved, move, ToMove } from '../src/rules/moved.ts'
import {
  BELL,
  FINISHED,
  FROM_THREAD,
  HEAP_MB,
  type LaneSetup,
  type LaneTable,
  LOG_COUNT,
  laneTable,
  NO_RESULT,
  NOBODY,
  OURS,
  RESULT_BYTES,
  RUN_WITH_STRIDE,
  RUNNING,
  SENT,
  SLOTS,
  TELL_STARTS,
  TO_THREAD,
} from '../src/rules/protocol.ts'
import { fromWireError, toWireError, type WireError } from '../src/rules/wire-error.ts'
import { Attempt, type AttemptHost } from './attempt.ts'
import { contextFor } from './context.ts'
import { CpuTime } from './cpu-time.ts'
import type { EscapeHost } from './escaped-errors.ts'
import { Inbox } from './inbox.ts'
import type { AnyHandler, LoadedHandlers } from './loaded-handlers.ts'
import type { Printing } from './printing.ts'
import * as pristine from './pristine.ts'
import { whose } from './whose.ts'

const HEAP_LOOK_EVERY = 100

/** What a runner needs of the setup of its thread. */
export type RunnerSetup = Pick<
  LaneSetup,
  'port' | 'table' | 'concurrency' | 'idPrefix' | 'zero' | 'time' | 'measuresCpu' | 'sizes' | 'printed'
> & {
  /** Calls a handler so that the spans it makes belong to a trace; undefined where nobody traces. */
  readonly runInTrace?: ((traceparent: string, call: () => unknown) => unknown) | undefined
}

/** What a runner needs of the handlers. */
export type RunnerHandlers = Omit<LoadedHandlers, 'problems'>

/** The runner of one thread. */
export class JobRunner implements AttemptHost, EscapeHost<Attempt> {
  readonly #port: MessagePort
  readonly #table: LaneTable
  readonly #handlers: RunnerHandlers
  readonly #concurrency: number
  readonly #runInTrace: RunnerSetup['runInTrace']
  readonly #idPrefix: string
  readonly #printing: readonly Printing[]
  readonly #shift: number
  /** The time itself, where it is not real. */
  readonly #time: Float64Array | undefined
  /** The running attempts by slot. */
  readonly #attempts: (Attempt | undefined)[] = new Array(SLOTS).fill(undefined)
  readonly #asked = new Map<number, PromiseWithResolvers<string>>()
  readonly #inbox = new Inbox()
  #askedCount = 0
  #logCount = 0
  #active = 0
  #isRetiring = false
  #untold = false
  #bellIsSet = false
  #heapLookedAt = 0
  /** Null where nobody asks for it. */
  readonly #cpu: CpuTime | null
  readonly sizes: Sizes | undefined
  readonly printed: RunnerSetup['printed']
  readonly #bounds: (Bound | undefined)[] = []

  /**
   * `printing`: what has to be out before the thread may be ended. `collapse`: what to do when jobs can be run no more;
   * it does not return.
   */
  constructor(
    setup: RunnerSetup,
    handlers: RunnerHandlers,
    printing: readonly Printing[],
    collapse?: (error: unknown) => never,
  ) {
    if (collapse !== undefined) this.#collapse = collapse
    const { port, table, concurrency, idPrefix, zero } = setup
    this.#port = port
    this.sizes = setup.sizes
    this.printed = setup.printed
    this.#table = laneTable(table)
    this.#handlers = handlers
    this.#printing = printing
    this.#concurrency = concurrency
    this.#runInTrace = setup.runInTrace
    this.#idPrefix = idPrefix
    this.#shift = pristine.zero - zero
    this.#time = setup.time && new Float64Array(setup.time)
    this.#cpu = setup.measuresCpu ? CpuTime.in(this.#table.cpu) : null
  }

  get tail(): LogTail {
    return this.#table.tail
  }

  post(message: readonly unknown[], transfer?: readonly ArrayBuffer[]): void {
    pristine.post(this.#port, message, transfer)
  }

  jobId(seq: number): string {
    return this.#idPrefix + seq.toString(36)
  }

  /** Whether an attempt is to end: NOT_ASKED, ASKED or LEASE_LOST. */
  asked(slot: number): number {
    return pristine.load(this.#table.aborted, slot)
  }

  /** The attempt that runs when there is only one: whose fault it must be when the context is lost. */
  get only(): Attempt | undefined {
    if (this.#active !== 1) return undefined
    for (let slot = 0; slot < SLOTS; slot++)
      if (this.#attempts[slot] !== undefined) return this.#attempts[slot]
    return undefined
  }

  enqueue(
    by: Attempt,
    task: string,
    payload: unknown,
    options: NestedJobOptions | undefined,
  ): Promise<string> {
    if (by.isOver) return Promise.reject(new Error('The attempt is over; it cannot add jobs any more.'))
    const { sizes } = this
    by.hasPosted = true
    const number = ++this.#askedCount
    const asked = pristine.withResolvers<string>()
    this.post([
      FROM_THREAD.enqueue,
      by.slot,
      number,
      task,
      encodeReadable(payload, 'payload', sizes && payloadBound(task, sizes.payload)),
      encodeReadable(options, 'options'),
    ])
    this.#asked.set(number, asked)
    return asked.promise
  }

  /** Ends an attempt with an error, whatever its handler still does. */
  fail(attempt: Attempt, thrown: unknown): void {
    if (attempt.isOver) return
    this.#cpu?.end(attempt.slot)
    attempt.end()
    const { slot } = attempt
    this.#table.ended[slot] = this.now()
    // Before the failure, so that the next attempt is not sent here.
    if (this.#handlers.hasRuined(thrown)) this.retire(attempt)
    else if (this.#handlers.isRemembered(thrown)) this.post([FROM_THREAD.stale])
    this.post([FROM_THREAD.failed, slot, toWireError(thrown), this.asked(slot)])
    this.#leave(slot)
  }

  /** The thread's state cannot be trusted any more: start nothing, and ask to be replaced. Its task is to blame, if one is. */
  retire(attempt: Attempt | undefined): void {
    this.#retire(attempt === undefined ? NOBODY : this.#handlers.names.indexOf(attempt.name))
  }

  #retire(blame: number): void {
    if (this.#isRetiring) return
    this.#isRetiring = true
    this.post([FROM_THREAD.retire, blame])
  }

  /** Now, on the event loop's clock. */
  now(): number {
    return this.#time === undefined ? pristine.now() + this.#shift : (this.#time[0] as number)
  }

  /** Takes what came over the port. */
  receive(message: number | unknown[]): void {
    try {
      this.#receive(message)
    } catch (error) {
      this.#collapse(error)
    }
  }

  /**
   * What runs jobs here has thrown itself: a handler has broken what it stands on, such as a method of `Array`. Nobody
   * can tell any more what became of the jobs, so the thread ends, and they run again on another.
   */
  #collapse = (error: unknown): never => {
    try {
      this.post([FROM_THREAD.stray, '', toWireError(error), []])
    } finally {
      pristine.endThread()
    }
  }

  #receive(message: number | unknown[]): void {
    if (typeof message === 'number') return this.#take([TO_THREAD.run, message], 1)
    switch (message[0]) {
      case TO_THREAD.run:
        return this.#take(message, 1)
      case TO_THREAD.runWith:
        return this.#take(message, RUN_WITH_STRIDE)
      case TO_THREAD.abort:
        return this.#attempts[message[1] as number]?.abort(String(message[2]))
      case TO_THREAD.giveUp:
        return this.#giveUp(message[1] as number)
      case TO_THREAD.enqueued:
        return this.#answered(
          message[1] as number,
          message[2] as string | null,
          message[3] as WireError | null,
        )
      case TO_THREAD.close:
        return this.#close()
    }
  }

  #giveUp(slot: number): void {
    const attempt = this.#attempts[slot]
    if (attempt === undefined) return
    this.#retire(OURS)
    this.fail(attempt, new Error('The handler did not end when its signal aborted.'))
  }

  #take(message: unknown[], stride: number): void {
    this.#inbox.add(message, stride)
    this.#run()
  }

  /** Starts jobs until the thread is as busy as it may be, or nothing is left. */
  #run(): void {
    let time = this.now()
    this.#cpu?.beReady()
    while (this.#active < this.#concurrency && !this.#inbox.isEmpty && !this.#isRetiring) {
      time = this.#startNext(time)
    }
    // Nothing runs and nothing is left: the other side waits for this, and for nothing else that is done here.
    if (this.#active === 0) this.#ring()
    whose.enterWith(undefined)
    this.#inbox.tidy()
  }

  /** Starts the next job; returns the time at which the one after it can start. */
  #startNext(time: number): number {
    const slot = this.#inbox.take()
    const { state, started, header } = this.#table
    started[slot] = time
    if (pristine.compareExchange(state, slot, SENT, RUNNING) !== SENT) {
      this.#enterLog(slot)
      return time
    }
    const attempt = this.#attemptOf(slot)
    this.#active++
    this.#attempts[slot] = attempt
    this.#cpu?.begin(slot)
    if (pristine.load(header, TELL_STARTS) === 1) this.post([FROM_THREAD.started, slot])
    try {
      // Entered and not left: the next attempt enters its own, and after the last one #run leaves. That costs half of what
      // `run` does, which was most of what starting an empty job cost.
      whose.enterWith(attempt)
      const result = this.#runInTrace === undefined ? this.#call(attempt) : this.#traced(attempt)
      if (isThenable(result)) {
        this.#ringSoon()
        this.#cpu?.wait(this.#active)
        void this.#settle(attempt, result)
        return this.now()
      }
      const ended = this.now()
      this.#complete(attempt, result, ended)
      return ended
    } catch (error) {
      this.fail(attempt, error)
      return this.now()
    }
  }

  #attemptOf(slot: number): Attempt {
    const { task, attempt, number } = this.#table
    const name = this.#handlers.names[task[slot] as number] as string
    const id = this.#inbox.id ?? (number[slot] as number)
    return new Attempt(this, slot, name, attempt[slot] as number, id, this.#inbox.context)
  }

  #traced(attempt: Attempt): unknown {
    const { traceparent } = attempt
    const run = this.#runInTrace
    return run === undefined || traceparent === undefined
      ? this.#call(attempt)
      : run(traceparent, () => this.#call(attempt))
  }

  #call(attempt: Attempt): unknown {
    const { payload } = this.#inbox
    const handler = this.#handlers.get(this.#table.task[attempt.slot] as number)
    const value = payloadOf(payload)
    if (typeof handler === 'function') return handler(value, contextFor(attempt, handler.length))
    return callLater(handler, value, attempt)
  }

  /** Waits for a handler. `await` asks nobody for `then` of a promise, so it hears also where a module has replaced that. */
  async #settle(attempt: Attempt, result: PromiseLike<unknown>): Promise<void> {
    try {
      try {
        const value = await result
        this.#complete(attempt, value, this.now())
      } catch (error) {
        this.fail(attempt, error)
      }
      this.#run()
    } catch (error) {
      this.#collapse(error)
    }
  }

  #complete(attempt: Attempt, value: unknown, ended: number): void {
    if (attempt.isOver) return
    this.#cpu?.end(attempt.slot)
    const { slot } = attempt
    const isPlain = value === undefined && !attempt.hasPosted
    if (!(isPlain || this.#writeResult(attempt, value, ended))) return
    if (isPlain) {
      attempt.end()
      this.#table.resultLength[slot] = NO_RESULT
    }
    this.#table.ended[slot] = ended
    pristine.store(this.#table.state, slot, FINISHED)
    this.#leave(slot)
    this.#enterLog(slot)
  }

  /** How large a result may be; one for all attempts of a task. */
  #boundOf({ slot, name }: Attempt): Bound | undefined {
    if (this.sizes === undefined) return undefined
    const task = this.#table.task[slot] as number
    let bound = this.#bounds[task]
    if (bound === undefined) {
      bound = resultBound(name, this.sizes.result)
      this.#bounds[task] = bound
    }
    return bound
  }

  /** True when the result is in the table; otherwise it, or why it cannot travel, was posted. */
  #writeResult(attempt: Attempt, value: unknown, ended: number): boolean {
    const { slot } = attempt
    try {
      const encoded =
        value instanceof ToMove
          ? move(value.value, value.buffers, 'the result', this.#boundOf(attempt))
          : encodeReadable(value, 'the result', this.#boundOf(attempt))
      attempt.end()
      if (encoded instanceof Moved) {
        this.#table.ended[slot] = ended
        this.post([FROM_THREAD.moved, slot, encoded.encoded, encoded.buffers], encoded.transfer)
        this.#leave(slot)
        return false
      }
      // The table is read before the messages: a job that has posted progress or a log line would be over before them.
      if (!attempt.hasPosted && typeof encoded === 'string' && pristine.bytesOf(encoded) <= RESULT_BYTES) {
        this.#table.resultLength[slot] = pristine.write(this.#table.results, encoded, slot * RESULT_BYTES)
        return true
      }
      this.#table.ended[slot] = ended
      this.post([FROM_THREAD.result, slot, encoded], buffersOf(encoded))
      this.#leave(slot)
    } catch (error) {
      attempt.isOver = false
      this.fail(attempt, error)
    }
    return false
  }

  #leave(slot: number): void {
    this.#attempts[slot] = undefined
    this.#active--
  }

  #enterLog(slot: number): void {
    this.#table.log[this.#logCount & (SLOTS - 1)] = slot
    this.#logCount = (this.#logCount + 1) | 0
    pristine.store(this.#table.header, LOG_COUNT, this.#logCount)
    this.#untold = true
    if (this.#active > 0) this.#ringSoon()
  }

  #ringSoon(): void {
    if (this.#bellIsSet) return
    this.#bellIsSet = true
    pristine.setImmediate(() => {
      this.#bellIsSet = false
      this.#ring()
    })
  }

  #ring(): void {
    if (!this.#untold) return
    this.#untold = false
    pristine.post(this.#port, BELL)
    this.#lookAtHeap()
  }

  #lookAtHeap(): void {
    const time = pristine.now()
    if (time - this.#heapLookedAt < HEAP_LOOK_EVERY) return
    this.#heapLookedAt = time
    this.#table.header[HEAP_MB] = Math.ceil(getHeapStatistics().used_heap_size / 2 ** 20)
  }

  #answered(number: number, id: string | null, error: WireError | null): void {
    const asked = this.#asked.get(number)
    this.#asked.delete(number)
    if (id !== null) asked?.resolve(id)
    else if (error !== null) asked?.reject(fromWireError(error))
  }

  /** What handlers printed travels through the event loop's thread: ending before it is out would lose it. */
  #close(): void {
    let open = this.#printing.length + 1
    const closed = (): void => {
      if (--open === 0) this.post([FROM_THREAD.closed])
    }
    for (const stream of this.#printing) stream.flush(closed)
    closed()
  }
}

async function callLater(handler: Promise<AnyHandler>, value: unknown, attempt: Attempt): Promise<unknown> {
  const loaded = await handler
  return loaded(value, contextFor(attempt, loaded.length))
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function'
  )
}

/** A payload as it was posted: encoded; taken apart into lists; or encoded, with buffers that were moved. */
function payloadOf(posted: unknown): unknown {
  if (!Array.isArray(posted)) return read(posted as Encoded, 'payload')
  if (Array.isArray(posted[0])) return readPosted(posted, 'payload')
  return read(posted[0] as Encoded, 'payload', posted.slice(1) as ArrayBuffer[])
}
