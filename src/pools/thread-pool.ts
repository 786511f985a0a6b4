/**
 * A pool of threads: how many there are, when one is replaced, and what happens when one dies. Who starts a thread and
 * how is behind `ThreadSource`; who decides what runs is above, in the engine.
 */
// long because: what starts a thread, replaces it and mourns it decide with each other how many there are
import { AsyncLocalStorage } from 'node:async_hooks'
import { MessageChannel } from 'node:worker_threads'
import type { Encoded } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved } from '../rules/moved.ts'
import { type LaneSetup, laneTable, NOBODY, OURS, TO_THREAD } from '../rules/protocol.ts'
import type { ReadPoolOptions } from '../rules/runtime-schemas.ts'
import type { WireError } from '../rules/wire-error.ts'
import { type Clock, clockZero } from '../words/clock.ts'
import { type HandlerProblem, ThreadStartError } from '../words/errors.ts'
import { HeapWatch } from './heap-watch.ts'
import { IMPORT_TIMEOUT, ImportWatch } from './import-watch.ts'
import { type LaneHost, type ThreadHandle, ThreadLane } from './lane.ts'
import type { Failure, Pool, PoolHost, PoolParts } from './pool.ts'
import { RestartWait } from './restart-wait.ts'
import { threadCounts } from './sizes.ts'
import { StaleThreads } from './stale-threads.ts'

/** How a thread ended. */
export interface ThreadEnd {
  readonly exitCode: number
  readonly error: Error | undefined
  /** True when no further try can end otherwise: nothing was wrong with this thread alone. */
  readonly isFinal?: boolean
}

/** Whoever starts threads: Piscina. */
export interface ThreadSource {
  /**
   * Starts a thread and hands it its setup. `up` is called once it has imported its handlers, `ended` once it is gone,
   * also when it never came up. Returns what gives up a thread that has not come up.
   */
  start(
    setup: Omit<LaneSetup, 'env'>,
    up: (thread: ThreadHandle, problems: readonly HandlerProblem[]) => void,
    ended: (end: ThreadEnd) => void,
  ): (error: Error) => void
  /** Ends all threads and resolves when they are gone. */
  stop(): Promise<void>
}

/** How long a thread may take to write out its last lines when the pool stops. */
const LAST_WORDS = 500
/** How long a thread that was told to end may take, and past a stop's deadline: one in native code does not hear. */
const WRITTEN_OFF_AFTER = 1000
const WRITTEN_OFF_IN_HURRY = 250
// A port is heard in the context that made it: were that a request's, its store would be seen, and stay with the thread.
const outsideOfRequests = AsyncLocalStorage.snapshot()

/** The pool over real threads. */
export class ThreadPool implements Pool, LaneHost {
  readonly name: string
  readonly lanes = new Set<ThreadLane>()
  readonly #options: ReadPoolOptions
  readonly #imports: ImportWatch
  readonly #source: ThreadSource
  readonly #idPrefix: string
  readonly #clock: Clock
  readonly #measuresCpu: boolean
  readonly #tracer: string | undefined
  readonly #sizes: PoolParts['sizes']
  readonly #time: SharedArrayBuffer | undefined
  readonly #counts: { readonly min: number; readonly max: number }
  #host!: PoolHost
  #starting = 0
  #hasBeenUp = false
  #nextId = 1
  readonly #wait: RestartWait
  #stopping = false
  #isHurried = false
  #hasStuckThread = false
  /** True when threads cannot be started, now or later. */
  #isBeyondRepair = false
  readonly #heapWatch: HeapWatch | undefined
  #tellStarts = false
  #clearIdleTimer: (() => void) | undefined
  readonly #stale: StaleThreads
  #ready = Promise.withResolvers<readonly HandlerProblem[]>()
  readonly #onLoaded: PoolParts['onLoaded']
  readonly #printed: PoolParts['printed']
  /** Counts reloads: a thread that was started before the last one has loaded what was there then. */
  #generation = 0

  constructor(
    {
      name,
      options,
      handlers,
      idPrefix,
      clock,
      measuresCpu,
      onLoaded,
      printed,
      tracer,
      sizes,
      time,
      importTimeout = IMPORT_TIMEOUT,
    }: PoolParts,
    source: ThreadSource,
  ) {
    this.name = name
    this.#options = options
    this.#imports = new ImportWatch(clock, handlers, importTimeout)
    this.#source = source
    this.#idPrefix = idPrefix
    this.#clock = clock
    this.#measuresCpu = measuresCpu
    this.#onLoaded = onLoaded
    this.#printed = printed
    this.#tracer = tracer
    this.#sizes = sizes
    this.#time = time
    this.#wait = new RestartWait(clock, () => this.#refill())
    this.#counts = threadCounts(options)
    this.#stale = new StaleThreads(clock)
    this.#heapWatch = HeapWatch.of(options.resourceLimits, clock)
    this.#ready.promise.catch(() => {})
  }

  start(host: PoolHost): void {
    this.#host = host
    this.#refill()
  }

  ready(): Promise<readonly HandlerProblem[]> {
    return this.#ready.promise
  }

  reload(): Promise<readonly HandlerProblem[]> {
    if (this.#stopping) return Promise.resolve([])
    const { resolve } = this.#ready
    this.#ready = Promise.withResolvers()
    this.#ready.promise.catch(() => {})
    resolve(this.#ready.promise)
    this.#generation++
    // So that one thread at least tells about the handlers, also where none is always up.
    this.#hasBeenUp = false
    this.#imports.forgive()
    for (const lane of [...this.lanes]) lane.retire()
    this.#refill()
    return this.#ready.promise
  }

  size(): { threads: number; max: number } {
    return { threads: this.lanes.size + this.#starting, max: this.#counts.max }
  }

  grow(): void {
    if (this.#starting === 0 && this.#mayStart() && this.#serving() < this.#counts.max) this.#startThread()
  }

  /** Asks the threads to tell each start at once. */
  tellStarts(tell: boolean): void {
    this.#tellStarts = tell
    for (const lane of this.lanes) lane.tellStarts(tell)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#clearIdleTimer?.()
    this.#wait.close()
    this.#stale.close()
    this.#ready.resolve([])
    await Promise.all([...this.lanes].map((lane) => this.#lastWords(lane)))
    const { promise, resolve } = Promise.withResolvers<void>()
    const clear = this.#clock.timer(this.#hasStuckThread ? 0 : WRITTEN_OFF_AFTER, resolve)
    const stuck = promise.then(() => {
      this.#hasStuckThread = true
    })
    await Promise.race([this.#source.stop(), stuck])
    clear()
  }

  hurry(): void {
    this.#isHurried = true
  }

  get hasStuckThread(): boolean {
    return this.#hasStuckThread
  }

  /** Threads that take jobs, or are about to: those that are to be replaced do not count. */
  #serving(): number {
    let serving = this.#starting
    for (const lane of this.lanes) if (!lane.retiring) serving++
    return serving
  }

  /** Replacements start while the threads before them are still ending, but there is an end to that. */
  #mayStart(): boolean {
    if (this.#stopping || this.#isBeyondRepair || this.#wait.isOn) return false
    return this.lanes.size + this.#starting < this.#counts.max * 2 + 4
  }

  /** Starts what is missing of the threads that are always up. */
  #refill(): void {
    // At least one until the first has come up, also where `min` is 0: it is what tells `ready` about the handlers.
    // While threads keep dying, a single one tries whether the next lives.
    const { min } = this.#counts
    const least = this.#wait.isLongSince ? 1 : this.#hasBeenUp ? min : Math.max(1, min)
    while (this.#serving() < least && this.#mayStart()) this.#startThread()
  }

  /** Lets a thread write out its lines; one that is stuck does not keep us. */
  #lastWords(lane: ThreadLane): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const clear = this.#clock.timer(LAST_WORDS, resolve)
    void lane.close().then(resolve)
    return promise.then(clear)
  }

  #startThread(): void {
    outsideOfRequests(() => this.#start())
  }

  #start(): void {
    this.#starting++
    const { port1, port2 } = new MessageChannel()
    const table = laneTable()
    const { concurrency, isolation, recycle, warmUp } = this.#options
    const lifetime = isolation === 'job' ? 1 : (recycle?.jobs ?? Number.POSITIVE_INFINITY)
    const lane = new ThreadLane(
      this.#nextId++,
      {
        concurrency: isolation === 'job' ? 1 : concurrency,
        lifetime,
        measuresCpu: this.#measuresCpu,
        now: this.#clock.now(),
      },
      port1,
      table,
      this,
      this.#host,
    )
    let isUp = false
    const generation = this.#generation
    const giveUp = this.#source.start(
      {
        port: port2,
        table: table.buffer,
        concurrency: lane.concurrency,
        warmUp,
        importTimeout: this.#imports.timeout,
        measuresCpu: this.#measuresCpu,
        tracer: this.#tracer,
        tellsFiles: this.#onLoaded !== undefined,
        sizes: this.#sizes,
        printed: this.#printed,
        zero: clockZero(),
        time: this.#time,
        idPrefix: this.#idPrefix,
        handlers: this.#imports.handlers,
      },
      (thread, problems) => {
        isUp = true
        stopWatching()
        this.#starting--
        const isStale = generation !== this.#generation
        this.#hasBeenUp ||= !isStale
        lane.thread = thread
        // What it has loaded is told on a port of its own, and is to be known before anybody hears that it is up.
        if (this.#onLoaded !== undefined) lane.drain()
        // Now, not when it was started: whoever has begun to listen meanwhile is meant as well.
        lane.tellStarts(this.#tellStarts)
        this.lanes.add(lane)
        if (problems.length === 0) this.#stale.allWell()
        this.#heapWatch?.follow(lane)
        if (!isStale) this.#ready.resolve(problems)
        this.#host.threadStarted(this, lane)
        if (isStale) lane.retire()
        else this.#offer(lane)
      },
      (end) => {
        stopWatching()
        if (!isUp) this.#starting--
        const { error, exitCode } = end
        const what = error === undefined ? `exit code ${exitCode}` : error.message
        const isImport = !(isUp || this.#stopping) && this.#imports.isToBlame(table, what)
        // One that was written off may end all the same.
        if (!isUp || this.lanes.has(lane)) this.#ended(lane, end, isUp ? 'up' : isImport ? 'import' : 'start')
      },
    )
    const stopWatching = this.#imports.watch(table, giveUp)
  }

  /** `during`: what the thread was at. */
  #ended(lane: ThreadLane, end: ThreadEnd, during: 'start' | 'import' | 'up'): void {
    const expected = lane.retiring || this.#stopping
    lane.retiring = true
    const left = lane.bury()
    this.lanes.delete(lane)
    this.#heapWatch?.forget(lane)
    const { exitCode, error } = end
    // With a job to blame the next thread starts at once: the engine holds back that job's task, not the pool. One that died
    // over the import of a handler is followed by one that leaves the handler out.
    if (!(expected || left.running.length > 0 || during === 'import')) this.#wait.died()
    if (during === 'start' && (end.isFinal === true || this.#wait.isLongSince)) this.#cannotStart(end)
    this.#host.exited(this, { lane, ...left, exitCode, error, expected, restartIn: this.#restartIn() })
    this.#makeUpFor(lane)
  }

  #cannotStart({ error, isFinal = false }: ThreadEnd): void {
    this.#isBeyondRepair = isFinal
    this.#ready.reject(
      new ThreadStartError(this.name, { isFinal, ...(error !== undefined && { cause: error }) }),
    )
  }

  #restartIn(): number {
    if (this.#isBeyondRepair) return Number.POSITIVE_INFINITY
    return this.#wait.left
  }

  /** A lane serves no more: what was missing is started, and jobs that wait may need one beyond that. */
  #makeUpFor(lane: ThreadLane): void {
    this.#refill()
    if (!this.#stopping) this.#host.laneFree(this, lane)
  }

  /** The lane has room; if nobody takes it up, it may be one thread too many. */
  #offer(lane: ThreadLane): void {
    this.#host.laneFree(this, lane)
    if (lane.inFlight.size > 0 || this.#serving() <= this.#counts.min) return
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
        if (this.#serving() <= this.#counts.min) return
        if (lane.inFlight.size === 0 && lane.idleSince <= before + 1) lane.retire()
      }
      if (this.#serving() > this.#counts.min) this.#watchIdle()
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
    this.#wait.lived()
    this.#host.completed(job, result, started, ended)
  }

  failed(_lane: ThreadLane, job: JobRecord, failure: Failure, started: number, ended: number): void {
    this.#wait.lived()
    this.#host.failed(job, failure, started, ended)
  }

  enqueue(lane: ThreadLane, job: JobRecord, message: readonly unknown[]): void {
    const [, , number, task, payload, options] = message as [number, number, number, string, Encoded, Encoded]
    this.#host.enqueue(job, { task, payload, options }, (id, error) =>
      lane.reply([TO_THREAD.enqueued, number, id, error]),
    )
  }

  stray(lane: ThreadLane, id: string, error: WireError, tasks: readonly string[]): void {
    this.#host.stray(this, lane, id, error, tasks)
  }

  loaded(url: string): void {
    this.#onLoaded?.(url)
  }

  stale(lane: ThreadLane): void {
    this.#stale.report(lane)
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
    this.#makeUpFor(lane)
  }

  /** The thread asks to be replaced: an error escaped, and its state cannot be trusted any more. */
  broken(lane: ThreadLane, blame: number): void {
    // Counted as a death, so that a module which throws from a timer of its own does not replace threads without end.
    if (blame === NOBODY) this.#wait.died()
    else if (blame !== OURS) this.#host.blamed(blame)
    lane.retire()
  }

  killed(lane: ThreadLane): void {
    this.#clock.timer(this.#isHurried ? WRITTEN_OFF_IN_HURRY : WRITTEN_OFF_AFTER, () => {
      if (!this.lanes.has(lane)) return
      this.#hasStuckThread = true
      const error = new Error('The thread did not end when it was told to: it sits in native code.')
      this.#ended(lane, { exitCode: 1, error }, 'up')
    })
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
    for (const job of [...lane.inFlight.keys()]) {
      // But for those whose payload was moved there, if the thread still starts them.
      const stays = job.payload instanceof Moved && !lane.isBroken
      if (!stays && lane.revoke(job)) this.#host.revoked(job)
    }
    if (lane.inFlight.size > 0) return
    void this.#lastWords(lane).then(() => lane.kill())
  }
}
