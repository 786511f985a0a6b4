/**
 * What the event loop's side and a thread say to each other: few messages on a port, and a table in shared memory.
 *
 * Waking a thread costs far more than a job, so several jobs go in one message (a bundle), and what happens to each
 * is told through the table, where both sides see it without a message:
 *
 * - `state`, a word a slot: SENT by us; RUNNING when the thread starts the job; FINISHED when its outcome is in the log;
 *   REVOKED when we took it back before it started. SENT is left by compare-and-exchange on both sides, so a job is
 *   either started or taken back, never both, even while the thread is stuck in a loop.
 * - `log`, a ring of slot numbers in the order finished. It is read on the thread's bell and by the watchdog, so a
 *   finished result is never held behind a slow neighbour of its bundle.
 * - `aborted`, a word a slot, which a handler's `ctx.signal.aborted` reads, so that even a loop that never
 *   yields can see that it should end, and whether that is because the lease was lost.
 * - `task`, `attempt` and `number`: what a thread needs to know of most jobs. It costs a few stores here, where as parts of
 *   a message they would be packed on one side and unpacked on the other.
 * - `started` and `ended`, milliseconds on the monotonic scale that all threads share.
 * - `cpu`, milliseconds of the thread's CPU time that an attempt took, where that is measured; NaN where nobody can tell.
 * - `results`, a few bytes a slot for small results; longer ones are posted.
 * - `tail`, the last lines of attempts that have said more than is posted.
 */
import { LogTail, TAIL_BYTES } from './log-tail.ts'

/** Slots of a lane: jobs that can be with one thread at a time. */
export const SLOTS = 2048
/** Bytes a slot has for a result in shared memory. */
export const RESULT_BYTES = 64

export const SENT = 1
export const RUNNING = 2
export const FINISHED = 3
export const REVOKED = 4

/** A slot's word in `aborted`. */
export const NOT_ASKED = 0
export const ASKED = 1
export const LEASE_LOST = 2

/** Words of the header: how many log entries were written; whether starts are to be told; bytes of the thread's heap. */
export const LOG_COUNT = 0
export const TELL_STARTS = 1
export const HEAP_MB = 2
/**
 * The number of the task whose handler is being imported, and one; 0 for none. Negative: that module leaves nothing on which
 * a job could run, and the thread is ending. Why is then in `results`, of which `resultLength` of the first slot tells the length.
 */
export const IMPORTING = 3
/** How far the tail is filled: see `LogTail`. */
const TAIL = 4
const HEADER_WORDS = 16
const INT_COLUMNS = 6
const DOUBLE_COLUMNS = 4

/** Entry of `resultLength`: the outcome of a finished slot that is not a small result's length. */
export const NO_RESULT = -1

/** The table as typed views over one SharedArrayBuffer. */
export interface LaneTable {
  readonly buffer: SharedArrayBuffer
  readonly header: Int32Array
  readonly state: Int32Array
  readonly log: Int32Array
  readonly aborted: Int32Array
  readonly resultLength: Int32Array
  readonly task: Int32Array
  readonly attempt: Int32Array
  readonly number: Float64Array
  readonly started: Float64Array
  readonly ended: Float64Array
  readonly cpu: Float64Array
  readonly results: Buffer
  /** The last lines of attempts that say much. */
  readonly tail: LogTail
}

/** Lays the views over a buffer; without one, makes it. */
export function laneTable(buffer?: SharedArrayBuffer): LaneTable {
  const words = HEADER_WORDS + SLOTS * INT_COLUMNS
  const small = words * 4 + SLOTS * 8 * DOUBLE_COLUMNS + SLOTS * RESULT_BYTES
  const size = small + TAIL_BYTES
  const memory = buffer ?? new SharedArrayBuffer(size)
  const ints = (column: number) => new Int32Array(memory, (HEADER_WORDS + SLOTS * column) * 4, SLOTS)
  const doubles = (column: number) => new Float64Array(memory, words * 4 + SLOTS * 8 * column, SLOTS)
  const header = new Int32Array(memory, 0, HEADER_WORDS)
  return {
    buffer: memory,
    header,
    state: ints(0),
    log: ints(1),
    aborted: ints(2),
    resultLength: ints(3),
    task: ints(4),
    attempt: ints(5),
    number: doubles(0),
    started: doubles(1),
    ended: doubles(2),
    cpu: doubles(3),
    results: Buffer.from(memory, small - SLOTS * RESULT_BYTES, SLOTS * RESULT_BYTES),
    tail: new LogTail(header, TAIL, memory, small),
  }
}

/** What a thread is given when it starts. */
export interface LaneSetup {
  readonly port: import('node:worker_threads').MessagePort
  readonly table: SharedArrayBuffer
  readonly concurrency: number
  readonly warmUp: boolean
  /** The environment as it was when the runtime was made; undefined where the thread has been started with its own. */
  readonly env: Readonly<Record<string, string>> | undefined
  /** Milliseconds that the import of a handler may take. */
  readonly importTimeout: number
  /** Whether the CPU time of each attempt is measured, which costs a call to the system for each. */
  readonly measuresCpu: boolean
  /** How large what comes from a handler may be; undefined for no bounds. */
  readonly sizes?: import('./bounds.ts').Sizes | undefined
  /** The zero of the event loop's clock on the scale of `process.hrtime`, in milliseconds: times in the table are relative to it. */
  readonly zero: number
  /** The module that runs handlers in the trace of their attempt: see `Telemetry`. */
  readonly tracer?: string | undefined
  /**
   * What becomes of that which handlers print: it is told besides (`kept`), or in place of being printed (`taken`); undefined:
   * it is printed alone.
   */
  readonly printed?: 'kept' | 'taken' | undefined
  /** Whether the thread tells which files it loads. */
  readonly tellsFiles: boolean
  /** Where the time stands when it is not real: one number, milliseconds on the event loop's clock. */
  readonly time?: SharedArrayBuffer | undefined
  /** What job numbers become ids with. */
  readonly idPrefix: string
  /** The handlers of every task of the runtime, by task number; those of other pools are left out. */
  readonly handlers: readonly (HandlerLocation | null)[]
}

/** Where a task's handler is. */
export interface HandlerLocation {
  readonly task: string
  readonly module: string
  readonly export: string
  /** Why it is not to be imported: a thread that did so was never heard of again, or could run nothing any more. */
  readonly leftOut?: string
}

/** What a thread answers once it is set up. */
export interface LaneReady {
  readonly threadId: number
  readonly problems: readonly LaneProblem[]
}

/** What is wrong with a handler, as a thread tells it. */
export type LaneProblem = Omit<import('../words/errors.ts').HandlerProblem, 'cause'> & {
  readonly cause?: import('./wire-error.ts').WireError
}

/**
 * Kinds of messages to a thread. A message is an array that starts with its kind; the two that a lone job waits for are
 * numbers, which cost less to pack and unpack: the slot of one job of which the table tells all, and the bell from it.
 */
export const TO_THREAD = {
  /** `[RUN, slot, slot, ...]`: jobs of which the table tells all. */
  run: 0,
  /** `[ABORT, slot, reason]`: the soft abort of a running attempt. */
  abort: 1,
  /** `[CLOSE]`: drain stdout and answer `closed`; nothing more will come. */
  close: 2,
  /** `[ENQUEUED, number, id, wireError]`: the answer to `enqueue`; one of the last two is null. */
  enqueued: 3,
  /** `[GIVE_UP, slot]`: count a running attempt as failed although its handler goes on, and retire. */
  giveUp: 4,
  /** `[RUN_WITH, slot, payload, context, id, slot, ...]`: jobs with a payload, a context, or an id that another process made. */
  runWith: 5,
} as const

/** Entries that a job takes in a `runWith` message. */
export const RUN_WITH_STRIDE = 4

/** The entries of a `run` message as those of a `runWith` message. */
export function widened(slots: readonly unknown[]): unknown[] {
  return slots.flatMap((slot) => [slot, undefined, undefined, undefined])
}

/** The message from a thread that says: look at the log. */
export const BELL = 0

/** Who is to blame that a thread has to be replaced, where it is no task: nobody who is known, or the event loop's side. */
export const NOBODY = -1
export const OURS = -2

/** Kinds of messages from a thread. */
export const FROM_THREAD = {
  /** `[RESULT, slot, encoded]`: a result too large for the table. */
  result: 1,
  /** `[FAILED, slot, wireError, asked]`: the attempt failed. `asked`: the slot's word in `aborted` at that moment. */
  failed: 2,
  /** `[MOVED, slot, encoded, buffers]`: a result whose buffers are moved, not encoded. */
  moved: 3,
  /** `[STARTED, slot]`, when starts are to be told. */
  started: 4,
  /** `[PROGRESS, slot, encoded]` */
  progress: 5,
  /** `[LOG, slot, level, message, encoded, at, from, dropped]`: see `ThreadLine`; the last three may be missing. */
  log: 6,
  /** `[ENQUEUE, slot, number, task, encoded, options]`: `ctx.enqueue`; answered by `enqueued`. */
  enqueue: 7,
  /** `[STRAY, id, wireError, tasks]`: an error that escaped a handler which had already ended, or the module of these tasks. */
  stray: 8,
  /** `[RETIRE, blame]`: the thread's state cannot be trusted any more, replace it. `blame`: a task's number, NOBODY or OURS. */
  retire: 9,
  /** `[CLOSED]` */
  closed: 10,
  /** `[EXITING, slot]`: this attempt has called process.exit. */
  exiting: 11,
  /** `[STALE]`: an attempt failed since a module could not be imported, which this thread remembers: another may fare better. */
  stale: 12,
  /** `[LOADED, url]`: the thread loads this file, where that is to be told. */
  loaded: 13,
} as const
