/** A pool of simulated threads: keeps the same rules as `pools/thread-pool`, in virtual time. */
import type { Pool, PoolHost, PoolParts } from '../../src/pools/pool.ts'
import { RestartWait } from '../../src/pools/restart-wait.ts'
import { threadCounts } from '../../src/pools/sizes.ts'
import { encode } from '../../src/rules/codec.ts'
import { NOBODY, OURS } from '../../src/rules/protocol.ts'
import { toWireError } from '../../src/rules/wire-error.ts'
import { UnrecoverableError } from '../../src/words/errors.ts'
import { SimLane, type SimLaneHost, type SimLaneParts } from './sim-lane.ts'
import type { FromThread, Slot } from './sim-thread.ts'
import { POISON, RUBBISH, taskRules } from './tasks.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What a simulated pool needs besides what every pool gets. */
export interface SimPoolParts extends Pick<SimLaneParts, 'latency' | 'witness' | 'behaviourOf'> {
  /** A handler is about to add a job of a task. */
  readonly nests?: ((task: string) => void) | undefined
  readonly parts: PoolParts
  readonly clock: VirtualClock
  /** Threads that die before they are up, counted down. */
  readonly stillborn: number
}

/** Payloads from here on are of jobs that a handler added. */
export const NESTED = 1000

const IDLE_LOOK_TOLERANCE = 1

/** The pool. */
export class SimPool implements Pool, SimLaneHost {
  readonly name: string
  readonly lanes = new Set<SimLane>()
  readonly #options: SimPoolParts
  readonly #counts: { readonly min: number; readonly max: number }
  readonly #starting = new Map<SimLane, () => void>()
  readonly #stopped = Promise.withResolvers<void>()
  #host!: PoolHost
  #hasBeenUp = false
  #nextId = 1
  readonly #wait: RestartWait
  #stopping = false
  #tellStarts = false
  #stillborn: number
  #clearIdleTimer: (() => void) | undefined

  constructor(options: SimPoolParts) {
    this.name = options.parts.name
    this.#options = options
    this.#stillborn = options.stillborn
    this.#wait = new RestartWait(options.clock, () => this.#refill())
    this.#counts = threadCounts(options.parts.options)
  }

  start(host: PoolHost): void {
    this.#host = host
    this.#refill()
  }

  ready(): Promise<readonly []> {
    return Promise.resolve([])
  }

  size(): { threads: number; max: number } {
    return { threads: this.lanes.size + this.#starting.size, max: this.#counts.max }
  }

  /** True when a thread is on its way up. */
  get isComing(): boolean {
    return this.#starting.size > 0 || this.#wait.isOn
  }

  /** True when another thread could be started. After many deaths a single one tries whether the next lives. */
  get canGrow(): boolean {
    return !this.#wait.isLongSince && this.#mayGrow()
  }

  #mayGrow(): boolean {
    return this.#starting.size === 0 && this.#mayStart() && this.#serving() < this.#counts.max
  }

  grow(): void {
    if (this.#mayGrow()) this.#startThread()
  }

  tellStarts(tell: boolean): void {
    this.#tellStarts = tell
    for (const lane of this.lanes) lane.tellsStarts = tell
  }

  stop(): Promise<void> {
    this.#stopping = true
    this.#clearIdleTimer?.()
    this.#wait.close()
    for (const lane of this.lanes) lane.kill()
    for (const [lane, clear] of this.#starting) {
      clear()
      this.#starting.delete(lane)
    }
    if (this.lanes.size === 0) this.#stopped.resolve()
    return this.#stopped.promise
  }

  #serving(): number {
    let serving = this.#starting.size
    for (const lane of this.lanes) if (!lane.retiring) serving++
    return serving
  }

  #mayStart(): boolean {
    if (this.#stopping || this.#wait.isOn) return false
    return this.lanes.size + this.#starting.size < this.#counts.max * 2 + 4
  }

  #refill(): void {
    const { min } = this.#counts
    const least = this.#wait.isLongSince ? 1 : this.#hasBeenUp ? min : Math.max(1, min)
    while (this.#serving() < least && this.#mayStart()) this.#startThread()
  }

  #startThread(): void {
    const { clock, latency, witness, behaviourOf, parts } = this.#options
    const { concurrency, isolation, recycle } = parts.options
    const lane = new SimLane({
      id: this.#nextId++,
      concurrency: isolation === 'job' ? 1 : concurrency,
      lifetime: isolation === 'job' ? 1 : (recycle?.jobs ?? Number.POSITIVE_INFINITY),
      clock,
      latency,
      witness,
      behaviourOf,
      host: this,
    })
    const isStillborn = this.#stillborn-- > 0
    const up = (): void => {
      this.#starting.delete(lane)
      if (isStillborn) return this.#ended(lane, 1, new Error('It did not come up.'))
      this.#hasBeenUp = true
      this.lanes.add(lane)
      lane.tellsStarts = this.#tellStarts
      this.#host.threadStarted(this, lane)
      this.#offer(lane)
    }
    this.#starting.set(lane, clock.at(clock.now() + 2 + latency() * 3, up))
  }

  ended(lane: SimLane, exitCode: number, error: Error | undefined): void {
    this.#ended(lane, exitCode, error)
  }

  #ended(lane: SimLane, exitCode: number, error: Error | undefined): void {
    const expected = lane.retiring || this.#stopping
    lane.retiring = true
    const left = lane.bury()
    this.lanes.delete(lane)
    if (!(expected || left.running.length > 0)) this.#wait.died()
    const restartIn = this.#wait.left
    this.#host.exited(this, { lane, ...left, exitCode, error, expected, restartIn })
    this.#makeUpFor(lane)
    if (this.#stopping && this.lanes.size === 0) this.#stopped.resolve()
  }

  #makeUpFor(lane: SimLane): void {
    this.#refill()
    if (!this.#stopping) this.#host.laneFree(this, lane)
  }

  #offer(lane: SimLane): void {
    this.#host.laneFree(this, lane)
    if (lane.inFlight.size > 0 || this.#serving() <= this.#counts.min) return
    lane.idleSince = this.#options.clock.now()
    this.#watchIdle()
  }

  #watchIdle(): void {
    const { idleTimeout } = this.#options.parts.options
    if (this.#clearIdleTimer !== undefined || idleTimeout === Number.POSITIVE_INFINITY) return
    const { clock } = this.#options
    this.#clearIdleTimer = clock.timer(idleTimeout, () => {
      this.#clearIdleTimer = undefined
      const before = clock.now() - idleTimeout
      for (const lane of this.lanes) {
        if (this.#serving() <= this.#counts.min) return
        if (lane.inFlight.size === 0 && lane.idleSince <= before + IDLE_LOOK_TOLERANCE) lane.retire()
      }
      if (this.#serving() > this.#counts.min) this.#watchIdle()
    })
  }

  outcome(_lane: SimLane, slot: Slot, message: FromThread | undefined): void {
    const { job, started, ended, behaviour } = slot
    this.#wait.lived()
    if (message?.kind === 'failed') {
      const error = message.unrecoverable
        ? new UnrecoverableError(message.message)
        : new Error(message.message)
      const failure = { error: toWireError(error), wasAsked: message.wasAsked }
      this.#host.failed(job, failure, started, ended)
    } else {
      const result =
        behaviour.ends === 'returns rubbish'
          ? RUBBISH
          : behaviour.ends === 'returns poison'
            ? POISON
            : job.seq
      this.#host.completed(job, encode(result, 'result'), started, ended)
    }
  }

  told(lane: SimLane, message: FromThread): void {
    if (!('slot' in message)) return
    const { job, behaviour } = message.slot
    if (message.kind === 'started') this.#host.started(job)
    else if (message.kind === 'progress') this.#host.progress(job, encode(0.5, 'progress'))
    else if (message.kind === 'stray') this.#host.stray(this, lane, '', toWireError(new Error('stray')), [])
    else if (message.kind === 'enqueue') {
      const added = behaviour.adds as number
      const task = taskRules[(added + job.entry.index) % taskRules.length]?.name as string
      this.#options.nests?.(task)
      const request = { task, payload: encode(NESTED + added, 'payload'), options: undefined }
      this.#host.enqueue(job, request, () => {})
    }
  }

  hasRoom(lane: SimLane): void {
    if (!(lane.retiring || this.#isWornOut(lane))) this.#host.laneFree(this, lane)
  }

  settledSome(lane: SimLane): void {
    if (!lane.retiring && this.#isWornOut(lane)) lane.retire()
    else if (lane.retiring) this.#endIfEmpty(lane)
    if (!lane.retiring) this.#offer(lane)
  }

  retire(lane: SimLane): void {
    this.#endIfEmpty(lane)
    this.#makeUpFor(lane)
  }

  broken(lane: SimLane, blame: number): void {
    if (blame === NOBODY) this.#wait.died()
    else if (blame !== OURS) this.#host.blamed(blame)
    lane.retire()
  }

  #isWornOut(lane: SimLane): boolean {
    const { isolation, recycle } = this.#options.parts.options
    return isolation === 'job' ? lane.done >= 1 : lane.done >= (recycle?.jobs ?? Number.POSITIVE_INFINITY)
  }

  #endIfEmpty(lane: SimLane): void {
    for (const job of [...lane.inFlight.keys()]) if (lane.revoke(job)) this.#host.revoked(job)
    if (lane.inFlight.size === 0) lane.kill()
  }
}
