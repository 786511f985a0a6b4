/** Hands fetched jobs to the threads of this process, and gives back to the store what no thread takes. */
import type { JobRecord } from '../../../rules/job-record.ts'
import type { BrokerHost } from '../../port/host.ts'
import type { Retries } from '../store/retry.ts'
import type { Lease } from './leases.ts'
import { PrefetchBuffer } from './prefetch-buffer.ts'

/** What this needs of the consumer. */
export interface HandOutHost {
  /** The job is not with this process any more. */
  letGo(lease: Lease): void
  /** There may be room for jobs of a pool. */
  look(pool: string): void
}

// A fetched job that no thread has taken after so long is better off where every process can take it.
const UNCLAIMED = 1000

/** Fetched jobs that wait for a thread. */
export class HandOut {
  readonly #engine: BrokerHost
  readonly #retries: Retries
  readonly #host: HandOutHost
  readonly #buffer = new PrefetchBuffer()
  /** Pools whose threads do not ask for jobs at present. */
  readonly #unasked = new Set<string>()
  /** Pools that jobs are coming to in this moment. */
  readonly #arriving = new Set<string>()
  /** One after the other: through several connections they would arrive in any order. */
  #putBacks: Promise<void> = Promise.resolve()
  #isOpen = false
  #stopTimer: (() => void) | undefined

  constructor(engine: BrokerHost, retries: Retries, host: HandOutHost) {
    this.#engine = engine
    this.#retries = retries
    this.#host = host
  }

  start(): void {
    this.#isOpen = true
    this.#watch()
  }

  /** No jobs are to be fetched any more, and what still comes goes back. */
  close(): void {
    this.#isOpen = false
    this.#stopTimer?.()
  }

  /** Puts back what waits for a thread. */
  putAllBack(): void {
    for (const pool of this.#buffer.pools) this.#putBack(pool)
  }

  /** Jobs of a pool may be fetched. */
  isAsked(pool: string): boolean {
    return this.#isOpen && !this.#unasked.has(pool)
  }

  /** Jobs that wait: the store counts them as running. */
  get size(): number {
    return this.#buffer.size
  }

  /** A job may run. */
  enter(lease: Lease): void {
    const { job, loop } = lease
    job.state = 'available'
    job.readyAt = Math.round(this.#engine.clock.now())
    lease.bufferedAt = job.readyAt
    this.#buffer.enter(lease)
    // What was being looked at when the stop came has no place here any more.
    if (!this.#isOpen) return this.#putBack(loop.of.pool)
    this.#arrive(loop.of.pool)
  }

  /** A thread did not start a job after all. */
  enterAgain(lease: Lease): void {
    lease.bufferedAt = this.#engine.clock.now()
    this.#buffer.enter(lease)
    this.#engine.wake(lease.loop.of.pool)
  }

  /** False when the job does not wait here. */
  leave(lease: Lease): boolean {
    return this.#buffer.leave(lease)
  }

  peek(pool: string): JobRecord | undefined {
    if (this.#arriving.has(pool)) return undefined
    const job = this.#buffer.peek(pool)
    if (job === undefined && this.#unasked.delete(pool)) this.#host.look(pool)
    return job
  }

  claim(pool: string): Lease | undefined {
    return this.peek(pool) === undefined ? undefined : this.#buffer.shift(pool)
  }

  /**
   * Replies that share a network packet may resolve out of order: a fetch for many after a completion that was sent later.
   * None of their jobs is shown before all have their places, which they have at the end of this turn.
   */
  #arrive(pool: string): void {
    if (this.#arriving.has(pool)) return
    this.#arriving.add(pool)
    this.#engine.clock.soon(() => {
      this.#arriving.delete(pool)
      this.#engine.wake(pool)
    })
  }

  #watch(): void {
    const { clock } = this.#engine
    this.#stopTimer = clock.timer(UNCLAIMED / 2, () => {
      this.#watch()
      for (const pool of this.#buffer.lateSince(clock.now() - UNCLAIMED)) this.#putBack(pool)
    })
  }

  /** Nobody takes them: all that wait in a pool go back to the store, until a thread asks again. */
  #putBack(pool: string): void {
    this.#unasked.add(pool)
    // The last one first, so that the first one comes to stand in front.
    for (const lease of this.#buffer.empty(pool).reverse()) {
      const over = (): void => this.#host.letGo(lease)
      const before = this.#putBacks
      const putBack = (): Promise<void> => before.then(() => lease.loop.source.putBack(lease))
      this.#putBacks = this.#retries.retry(putBack).then(over, over)
    }
  }
}
