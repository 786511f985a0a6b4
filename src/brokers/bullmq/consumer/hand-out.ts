/** Hands fetched jobs to the threads of this process, and gives back to the store what no thread takes. */
import type { JobRecord } from '../../../rules/job-record.ts'
import { every } from '../../lifecycle/every.ts'
import type { Retries } from '../../lifecycle/retries.ts'
import type { BrokerHost } from '../../port/host.ts'
import { byAge } from '../store/job-data.ts'
import type { Lease } from './leases.ts'

/** What this needs of the consumer. */
export interface HandOutHost {
  /** The job is back in the store. */
  isBack(lease: Lease): void
  /** There may be room for jobs of a pool. */
  look(pool: string): void
  /** True while jobs of a task are not to start in this process. */
  isHeld(task: string): boolean
  /** Gives a job back to where it waits until its task is not held any more. */
  setLeaseAside(lease: Lease): void
}

/** The fetched jobs of a pool: best priority first; of one priority, in the order in which they were accepted. */
interface Waiting {
  readonly leases: Lease[]
  /** No thread of the pool has asked for a job since some were put back. */
  isUnasked: boolean
  /** Jobs are coming in this moment. */
  isArriving: boolean
}

// A fetched job that no thread has taken after so long is better off where every process can take it.
const UNCLAIMED = 1000

/** Fetched jobs that wait for a thread. */
export class HandOut {
  readonly #engine: Pick<BrokerHost, 'clock' | 'wake'>
  readonly #retries: Retries
  readonly #host: HandOutHost
  readonly #pools = new Map<string, Waiting>()
  /** One after the other: through several connections they would arrive in any order. */
  #putBacks: Promise<void> = Promise.resolve()
  #isOpen = false
  #areAllBack = false
  #stop = (): void => {}

  constructor(engine: Pick<BrokerHost, 'clock' | 'wake'>, retries: Retries, host: HandOutHost) {
    this.#engine = engine
    this.#retries = retries
    this.#host = host
  }

  start(): void {
    this.#isOpen = true
    this.#stop = every(this.#engine.clock, UNCLAIMED / 2, () => this.#putLateBack())
  }

  /** No jobs are to be fetched any more, and what still comes goes back. */
  close(): void {
    this.#isOpen = false
    this.#stop()
  }

  /** Puts back what waits for a thread. */
  putAllBack(): void {
    this.#areAllBack = true
    for (const waiting of this.#pools.values()) this.#putBack(waiting)
  }

  /** Jobs of a pool may be fetched. */
  isAsked(pool: string): boolean {
    return this.#isOpen && this.#pools.get(pool)?.isUnasked !== true
  }

  /** Jobs that wait: the store counts them as running. */
  get size(): number {
    let sum = 0
    for (const { leases } of this.#pools.values()) sum += leases.length
    return sum
  }

  /** A job may run. */
  enter(lease: Lease): void {
    const { job, loop } = lease
    job.state = 'available'
    if (this.#isHeld(lease)) return this.#host.setLeaseAside(lease)
    job.readyAt = Math.round(this.#engine.clock.now())
    const waiting = this.#enter(lease, job.readyAt)
    if (this.#isOpen) this.#arrive(loop.of.pool, waiting)
    // What was being fetched when the stop came goes back with all others, in one order; what comes later goes by itself.
    else if (this.#areAllBack) this.#putBack(waiting)
  }

  /** A thread did not start a job after all. */
  enterAgain(lease: Lease): void {
    if (this.#isHeld(lease)) return this.#host.setLeaseAside(lease)
    this.#enter(lease, this.#engine.clock.now())
    this.#engine.wake(lease.loop.of.pool)
  }

  /** Takes out what waits of a task that is held from now on. */
  hold(task: string): readonly Lease[] {
    const held: Lease[] = []
    for (const { leases } of this.#pools.values()) {
      for (let at = leases.length - 1; at >= 0; at--) {
        if ((leases[at] as Lease).job.entry.task.name === task) held.push(...leases.splice(at, 1))
      }
    }
    return held
  }

  #isHeld({ job }: Lease): boolean {
    return this.#host.isHeld(job.entry.task.name)
  }

  #enter(lease: Lease, now: number): Waiting {
    const waiting = this.#of(lease.loop.of.pool)
    const { leases } = waiting
    lease.bufferedAt = now
    let at = leases.length
    while (at > 0 && !comesBefore(leases[at - 1] as Lease, lease)) at--
    leases.splice(at, 0, lease)
    return waiting
  }

  #of(pool: string): Waiting {
    let waiting = this.#pools.get(pool)
    if (waiting === undefined) {
      waiting = { leases: [], isUnasked: false, isArriving: false }
      this.#pools.set(pool, waiting)
    }
    return waiting
  }

  /** False when the job does not wait here. */
  leave(lease: Lease): boolean {
    const { leases } = this.#of(lease.loop.of.pool)
    const at = leases.indexOf(lease)
    if (at >= 0) leases.splice(at, 1)
    return at >= 0
  }

  peek(pool: string): JobRecord | undefined {
    const waiting = this.#pools.get(pool)
    if (waiting === undefined || waiting.isArriving) return undefined
    const [lease] = waiting.leases
    if (lease === undefined && waiting.isUnasked) {
      waiting.isUnasked = false
      this.#host.look(pool)
    }
    return lease?.job
  }

  claim(pool: string): Lease | undefined {
    return this.peek(pool) === undefined ? undefined : this.#of(pool).leases.shift()
  }

  /**
   * Replies that share a network packet may resolve out of order: a fetch for many after a completion that was sent later.
   * None of their jobs is shown before all have their places, which they have at the end of this turn.
   */
  #arrive(pool: string, waiting: Waiting): void {
    if (waiting.isArriving) return
    waiting.isArriving = true
    this.#engine.clock.soon(() => {
      waiting.isArriving = false
      this.#engine.wake(pool)
    })
  }

  /** A job may stand behind jobs that came later and are more urgent: any that is late counts. */
  #putLateBack(): void {
    const late = this.#engine.clock.now() - UNCLAIMED
    for (const waiting of this.#pools.values()) {
      if (waiting.leases.some(({ bufferedAt }) => bufferedAt < late)) this.#putBack(waiting)
    }
  }

  /** Nobody takes them: all that wait in a pool go back to the store, until a thread asks again. */
  #putBack(waiting: Waiting): void {
    waiting.isUnasked = true
    // The last one first, so that the first one comes to stand in front.
    for (const lease of waiting.leases.splice(0).reverse()) {
      const over = (): void => this.#host.isBack(lease)
      const before = this.#putBacks
      const putBack = (): Promise<void> => before.then(() => lease.loop.source.putBack(lease))
      this.#putBacks = this.#retries.retry(putBack).then(over, over)
    }
  }
}

function comesBefore(one: Lease, other: Lease): boolean {
  if (one.job.priority !== other.job.priority) return one.job.priority > other.job.priority
  return byAge({ id: one.id, at: one.data.a }, { id: other.id, at: other.data.a }) < 0
}
