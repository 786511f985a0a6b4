/**
 * The pool port: threads as the scheduler sees them. A pool owns threads and hands out lanes; a lane is the way to one
 * thread. Behind it stands Piscina in production and a model in the simulation.
 */

import type { Sizes } from '../rules/bounds.ts'
import type { Encoded } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Moved } from '../rules/moved.ts'
import type { HandlerLocation } from '../rules/protocol.ts'
import type { ReadPoolOptions } from '../rules/runtime-schemas.ts'
import type { WireError } from '../rules/wire-error.ts'
import type { Clock } from '../words/clock.ts'
import type { HandlerProblem } from '../words/errors.ts'

/** Jobs that are with a thread. */
export interface JobsInFlight {
  readonly size: number
  has(job: JobRecord): boolean
  keys(): Iterable<JobRecord>
}

/** The way to one thread. A job is `sent` to it, and then either started there or taken back, never both. */
export interface Lane {
  /** Counts the threads of a pool from 1; a replacement has a new number. */
  readonly id: number
  /** How many jobs the thread runs at once. */
  readonly concurrency: number
  /** How many more jobs it can be sent now; 0 once it is to be replaced. */
  room(): number
  /** Jobs that are with it: sent or running. */
  readonly inFlight: JobsInFlight
  /** Sends jobs in one message. They start in this order, `concurrency` at a time. */
  send(jobs: readonly JobRecord[]): void
  /** Takes a job back if it is there and has not started. From then on the lane does not know it. */
  revoke(job: JobRecord): boolean
  /** When the job's attempt started, on the monotonic clock; undefined when it has not. */
  startedAt(job: JobRecord): number | undefined
  /** Asks a running attempt to end, through its `ctx.signal`. */
  abort(job: JobRecord, reason: string, isLeaseLost: boolean): void
  /**
   * Asks the thread to count a running attempt as failed although its handler goes on, and to be replaced afterwards:
   * spares the other jobs of a thread whose loop still turns.
   */
  giveUp(job: JobRecord): void
  /** Looks for outcomes that no message has announced yet. */
  collect(): void
  /** The same, and takes in the messages that have come: an error is one. */
  drain(): void
  /** Milliseconds that the thread's loop was idle and active so far, where that can be told. */
  loopTimes?(): { readonly idle: number; readonly active: number } | undefined
  /** Ends the thread at once. `exited` follows, naming the jobs that were with it. */
  kill(): void
  /** Sends nothing more to the thread and ends it once its jobs are done. */
  retire(): void
}

/** What a pool is made from. */
export interface PoolParts {
  readonly name: string
  readonly options: ReadPoolOptions
  /** Handlers by task number; null for the tasks of other pools. */
  readonly handlers: readonly (HandlerLocation | null)[]
  readonly idPrefix: string
  readonly clock: Clock
  /** Whether the CPU time of each attempt is measured. */
  readonly measuresCpu: boolean
  /** The module that runs handlers in the trace of their attempt. */
  readonly tracer?: string | undefined
  /** How large what comes from a handler may be. Default: no bounds. */
  readonly sizes?: Sizes | undefined
  /** What becomes of that which handlers print: see `LaneSetup`. */
  readonly printed?: 'kept' | 'taken' | undefined
  /** Called with the URL of each file that a thread loads. Without it, threads do not tell. */
  readonly onLoaded?: ((url: string) => void) | undefined
  /** Where threads read the time when it is not real: see `LaneSetup`. */
  readonly time?: SharedArrayBuffer
  /** Milliseconds that the import of a handler may take. Default 10,000. */
  readonly importTimeout?: number
}

/** What a thread's end means for the jobs that were with it. */
export interface LaneExit {
  readonly lane: Lane
  /** Jobs that had not started: they go back unharmed. */
  readonly unstarted: readonly JobRecord[]
  /** Jobs that were running. */
  readonly running: readonly JobRecord[]
  /** The one of them that is known to have brought the thread down. */
  readonly culprit: JobRecord | undefined
  /** The exit code; 1 when unknown. */
  readonly exitCode: number
  /** What brought the thread down, when something told. */
  readonly error: Error | undefined
  /** True when we ended it. */
  readonly expected: boolean
  /** Milliseconds until the replacement starts: more than 0 when threads keep dying; Infinity: none can be started. */
  readonly restartIn: number
}

/** How an attempt failed. */
export interface Failure {
  readonly error: WireError
  /** Whether it had been asked to end by then: what failed before failed by itself, however late that is heard. */
  readonly wasAsked: boolean
}

/** What a pool tells the scheduler. */
export interface PoolHost {
  /** The lane has room (again): it is new, or jobs have ended. */
  laneFree(pool: Pool, lane: Lane): void
  /** Milliseconds of the event loop that taking in outcomes has cost, with all that followed from them. */
  spent(milliseconds: number): void
  completed(job: JobRecord, result: Encoded | Moved, started: number, ended: number): void
  failed(job: JobRecord, failure: Failure, started: number, ended: number): void
  started(job: JobRecord): void
  /** The pool took a job back that had not started, since its thread is to be replaced. */
  revoked(job: JobRecord): void
  progress(job: JobRecord, value: Encoded): void
  log(job: JobRecord, line: ThreadLine): void
  /** A handler adds a job. `answer` tells the handler its id, or why it was refused. */
  enqueue(
    job: JobRecord,
    request: NestedJob,
    answer: (id: string | null, error: WireError | null) => void,
  ): void
  /** An error escaped a handler that had already ended, or the module that holds the handlers of these tasks. */
  stray(pool: Pool, lane: Lane, id: string, error: WireError, tasks: readonly string[]): void
  threadStarted(pool: Pool, lane: Lane): void
  /** An attempt of the task with this number has cost its thread, which is being replaced although it lives. */
  blamed(task: number): void
  exited(pool: Pool, exit: LaneExit): void
}

/** A job that a handler adds. */
export interface NestedJob {
  readonly task: string
  readonly payload: Encoded
  readonly options: Encoded
}

/** What a handler has said, as its thread tells it. */
export interface ThreadLine {
  readonly level: LogLevel
  readonly message: string
  readonly data: Encoded
  /** On the event loop's clock; undefined where nobody has looked at it. */
  readonly at: number | undefined
  /** `log`: given to `ctx.log`. `stdout`, `stderr`: printed, with its ends of lines. `runtime`: lines are missing here. */
  readonly from: 'log' | 'stdout' | 'stderr' | 'runtime'
  /** How many are missing. */
  readonly dropped?: number | undefined
}

/** Levels of `ctx.log`. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A named group of threads. */
export interface Pool {
  readonly name: string
  /** The lanes that are up, in no order of meaning. */
  readonly lanes: ReadonlySet<Lane>
  /** Starts the threads that are always up. */
  start(host: PoolHost): void
  /** Resolves when those threads have imported their handlers, with what was wrong with them. */
  ready(): Promise<readonly HandlerProblem[]>
  /** Replaces every thread, running jobs first; resolves as `ready` does, once one is up that has imported them anew. */
  reload?(): Promise<readonly HandlerProblem[]>
  /** Jobs wait and no lane has room: a pool that grows may start another thread. */
  grow(): void
  /** Asks the threads to tell each start at once, for those who listen to it. */
  tellStarts(tell: boolean): void
  /** Threads that are up or starting, and the most there can be. */
  size(): { readonly threads: number; readonly max: number }
  /** The runtime is past its deadline: a thread that does not end when it is told to is given up sooner. */
  hurry?(): void
  /** True when a thread did not end when it was told to, since it sits in native code. */
  readonly hasStuckThread?: boolean
  /** Ends every thread. Resolves when all are gone, but for those that are stuck. */
  stop(): Promise<void>
}
