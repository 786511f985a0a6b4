/**
 * A pool of threads: how many there are, when one is replaced, and what happens when one dies. Who starts a thread and
 * how is behind `ThreadSource`; who decides what runs is above, in the engine.
 */
import { MessageChannel } from 'node:worker_threads'
import type { Encoded } from '../rules/codec.ts'
import type { JobRecord, Moved } from '../rules/job-record.ts'
import type { ReadPoolOptions } from '../rules/option-schemas.ts'
import { type HandlerLocation, type LaneSetup, laneTable, TO_THREAD } from '../rules/protocol.ts'
import type { WireError } from '../rules/wire-error.ts'
import { type Clock, clockZero } from '../words/clock.ts'
import type { HandlerProblem } from '../words/errors.ts'
import { type LaneHost, type ThreadHandle, ThreadLane } from './lane.ts'
import type { LogLevel, Pool, PoolHost } from './pool.ts'
import { threadCounts } from './sizes.ts'

/** How a thread ended. */
export interface ThreadEnd {
  readonly exitCode: number
  readonly error: Error | undefined
}

/** Whoever starts threads: Piscina. */
export interface ThreadSource {
  /**
   * Starts a thread and hands it its setup. `up` is called once it has imported its handlers, `ended` once it is gone,
   * also when it never came up.
   */
  start(
    setup: LaneSetup,
    up: (thread: ThreadHandle, problems: readonly HandlerProblem[]) => void,
    ended: (end: ThreadEnd) => void,
  ): void
  /** Ends all threads and resolves when they are gone. */
  stop(): Promise<void>
}

// Deaths in a row, with no attempt completed in between, before the pool starts to wait.
const PATIENCE = 3
const FIRST_WAIT = 100
const LONGEST_WAIT = 30_000
/** How long a thread may take to write out its last lines when the pool stops. */
const LAST_WORDS = 500

/** The pool over real threads. */
export class ThreadPool implements Pool, LaneHost {
  readonly name: string
  readonly lanes = new Set<ThreadLane>()
  readonly #options: ReadPoolOptions
  readonly #handlers: readonly (HandlerLocation | null)[]
  readonly #source: ThreadSource
  readonly #idPrefix: string
  readonly #clock: Clock
  readonly #counts: { readonly min: number; readonly max: number }
  #host!: PoolHost
  #starting = 0
  #waiting = 0
  #nextId = 1
  #deaths = 0
  #stopping = false
  #tellStarts = false
  #clearIdleTimer: (() => void) | undefined
  readonly #ready = Promise.withResolvers<readonly HandlerProblem[]>()

  constructor(
    name: string,
    options: ReadPoolOptions,
    handlers: readonly (HandlerLocation | null)[],
    source: ThreadSource,
    idPrefix: string,
    clock: Clock,
  ) {
    this.name = name
    this.#options = options
    this.#handlers = handlers
    this.#source = source
    this.#idPrefix = idPrefix
    this.#clock = clock
    this.#counts = threadCounts(options)
    this.#ready.promise.catch(() => {})
  }

  start(host: PoolHost): void {
    this.#host = host
    // At least one, also where `min` is 0: it is what tells `ready` about the handlers.
    for (let count = Math.max(1, this.#counts.min); count > 0; count--) this.#startThread()
  }

  ready(): Promise<readonly HandlerProblem[]> {
    return this.#ready.promise
  }

  size(): { threads: number; max: number } {
    return { threads: this.lanes.size + this.#starting, max: this.#counts.max }
  }

  grow(): void {
    const { threads, max } = this.size()
    if (!this.#stopping && this.#starting === 0 && this.#waiting === 0 && threads < max) this.#startThread()
  }

  /** Asks the threads to tell each start at once. */
  tellStarts(tell: boolean): void {
    this.#tellStarts = tell
    for (const lane of this.lanes) lane.tellStarts(tell)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#clearIdleTimer?.()
    this.#ready.resolve([])
    await Promise.all([...this.lanes].map((lane) => this.#lastWords(lane)))
    await this.#source.stop()
  }

  /** Lets a thread write out its lines; one that is stuck does not keep us. */
  #lastWords(lane: ThreadLane): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const clear = this.#clock.timer(LAST_WORDS, resolve)
    void lane.close().then(resolve)
    return promise.then(clear)
  }

  #startThread(): void {
    this.#starting++
    const { port1, port2 } = new MessageChannel()
    const table = laneTable()
    const { concurrency, isolation, recycle, warmUp } = this.#options
    const lifetime = isolation === 'job' ? 1 : (recycle?.jobs ?? Number.POSITIVE_INFINITY)
    const lane = new ThreadLane(
      this.#nextId++,
      { concurrency: isolation === 'job' ? 1 : concurrency, lifetime, now: this.#clock.now() },
      port1,
      table,
      this,
    )
    lane.tellStarts(this.#tellStarts)
    let isUp = false
    this.#source.start(
      {
        port: port2,
        table: table.buffer,
        concurrency: lane.concurrency,
        warmUp,
        zero: clockZero(),
        idPrefix: this.#idPrefix,
        handlers: this.#handlers,
      },
      (thread, problems) => {
        isUp = true
        this.#starting--
        lane.thread = thread
        this.lanes.add(lane)
        this.#ready.resolve(problems)
        this.#host.threadStarted(this, lane)
        this.#offer(lane)
      },
      (end) => {
        if (!isUp) this.#starting--
        this.#ended(lane, end, isUp)
      },
    )
  }

  #ended(lane: ThreadLane, end: ThreadEnd, wasUp: boolean): void {
    const expected = lane.retiring || this.#stopping
    const left = lane.bury()
    this.lanes.delete(lane)
    if (!expected) this.#deaths++
    if (!wasUp && this.#deaths >= PATIENCE) {
      this.#ready.reject(end.error ?? new Error(`The threads of pool "${this.name}" die while they start.`))
    }
    const restartIn =
      expected || this.#deaths < PATIENCE
        ? 0
        : Math.min(FIRST_WAIT * 2 ** (this.#deaths - PATIENCE), LONGEST_WAIT)
    this.#host.exited(this, { lane, ...left, ...end, expected, restartIn })
    // A thread that never came up is tried again also where `min` is 0: jobs may wait for it.
    const least = wasUp ? this.#counts.min : Math.max(1, this.#counts.min)
    if (this.#stopping || this.lanes.size + this.#starting + this.#waiting >= least) return
    if (restartIn === 0) return this.#startThread()
    this.#waiting++
    this.#clock.timer(restartIn, () => {
      this.#waiting--
      if (!this.#stopping) this.#startThread()
    })
  }

  /** The lane has room; if nobody takes it up, it may be one thread too many. */
  #offer(lane: ThreadLane): void {
    this.#host.laneFree(this, lane)
    if (lane.inFlight.size > 0 || this.lanes.size <= this.#counts.min) return
    lane.idleSince = this.#clock.now()
    this.#watchIdle()
  }

  #watchIdle(): void {
    const { idleTimeout } = this.#options
    if (this.#clearIdleTimer !== undefined || idleTimeout === Number.POSITIVE_INFINITY) return
    this.#clearIdleTimer = this.#clock.timer(idleTimeout, () => {
      this.#clearIdleTimer = undefined
      const before = this.#clock.now() - idleTimeout
      for (const lane of this.lanes) {
        if (this.lanes.size <= this.#counts.min) return
        if (lane.inFlight.size === 0 && lane.idleSince <= before + 1) lane.retire()
      }
      if (this.lanes.size > this.#counts.min) this.#watchIdle()
    })
  }

  // ── What lanes tell ────────────────────────────────────────────────────────────────────────────────────────────

  completed(
    _lane: ThreadLane,
    job: JobRecord,
    result: Encoded | Moved,
    started: number,
    ended: number,
  ): void {
    this.#deaths = 0
    this.#host.completed(job, result, started, ended)
  }

  failed(_lane: ThreadLane, job: JobRecord, error: WireError, started: number, ended: number): void {
    this.#deaths = 0
    this.#host.failed(job, error, started, ended)
  }

  started(job: JobRecord): void {
    this.#host.started(job)
  }

  progress(job: JobRecord, value: Encoded): void {
    this.#host.progress(job, value)
  }

  log(job: JobRecord, level: LogLevel, message: string, data: Encoded): void {
    this.#host.log(job, level, message, data)
  }

  enqueue(lane: ThreadLane, job: JobRecord, message: readonly unknown[]): void {
    const [, , number, task, payload, options] = message as [number, number, number, string, Encoded, Encoded]
    this.#host.enqueue(job, { task, payload, options }, (id, error) =>
      lane.reply([TO_THREAD.enqueued, number, id, error]),
    )
  }

  stray(lane: ThreadLane, id: string, error: WireError): void {
    this.#host.stray(this, lane, id, error)
  }

  spent(milliseconds: number): void {
    this.#host.spent(milliseconds)
  }

  hasRoom(lane: ThreadLane): void {
    if (!(lane.retiring || this.#isWornOut(lane))) this.#host.laneFree(this, lane)
  }

  settledSome(lane: ThreadLane): void {
    if (!lane.retiring && this.#isWornOut(lane)) lane.retire()
    else if (lane.retiring) this.#endIfEmpty(lane)
    if (!lane.retiring) this.#offer(lane)
  }

  retire(lane: ThreadLane): void {
    this.#endIfEmpty(lane)
  }

  #isWornOut(lane: ThreadLane): boolean {
    const { isolation, recycle } = this.#options
    if (isolation === 'job') return lane.done >= 1
    return (
      lane.done >= (recycle?.jobs ?? Number.POSITIVE_INFINITY) ||
      lane.heapMb >= (recycle?.heapMb ?? Number.POSITIVE_INFINITY)
    )
  }

  #endIfEmpty(lane: ThreadLane): void {
    // Jobs that were sent but have not started need not wait for the old thread.
    for (const job of [...lane.inFlight.keys()]) if (lane.revoke(job)) this.#host.revoked(job)
    if (lane.inFlight.size > 0) return
    void this.#lastWords(lane).then(() => lane.kill())
  }
}
