/** The server around the modelled store: it hangs, is restarted, and loses connections and messages. */
import type { StoredData } from '../../../src/brokers/bullmq/store/stored-job.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import { ModelStore, read } from './model-store.ts'

/** A connection, as the server sees it. */
export interface Connected {
  readonly topics: readonly string[]
  /** A message goes out to it. */
  told(topic: string, text: string): void
  /** The server has closed the connection. */
  cut(): void
}

/** Somebody who waits for a job of a queue. */
export interface Waiter {
  readonly queue: string
  wake(): void
}

/** The server. Its clock is the true time, and the one by which leases end. */
export class SimServer {
  readonly clock: VirtualClock
  readonly store: ModelStore
  readonly connected = new Set<Connected>()
  isDown = false
  /** How often it was started again: a connection does not outlive that. */
  starts = 0
  /** When it forgot all leases last. */
  forgotAt = Number.NEGATIVE_INFINITY
  /** Messages get lost until then. */
  deafUntil = 0
  /** Each write is answered with an error until then. */
  refusesUntil = 0
  refusesSince = 0
  readonly #waiters = new Set<Waiter>()
  #isHanging = false
  #unread: (() => void)[] = []
  #recoveries = 0
  #awaySince = Number.NEGATIVE_INFINITY
  #backAt = Number.NEGATIVE_INFINITY
  readonly #timers = new Map<string, () => void>()

  /** What it answers when it is asked for the time. */
  time(): number {
    return this.clock.time
  }

  constructor(clock: VirtualClock, options: { lease: number; retention: { count: number } }) {
    this.clock = clock
    this.store = new ModelStore(() => clock.time, options)
  }

  /** The data of a job that is in the store. */
  dataOf(id: string): Partial<StoredData> {
    const seen = this.store.find(id, [...this.store.queues.keys()])
    return seen === undefined ? {} : read(seen, this.clock.time).data
  }

  /** True when it answers nobody. */
  get isAway(): boolean {
    return this.isDown || this.#isHanging
  }

  /** Something has come over a connection: it is read when the server runs, and lost when it does not. */
  receive(message: () => void): void {
    if (this.#isHanging) this.#unread.push(message)
    else if (!this.isDown) message()
  }

  // ── Troubles ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** When it was away last: until now, as long as it is. */
  get outage(): { since: number; until: number } {
    return this.isAway || this.isRefusing
      ? { since: this.#awaySince, until: this.clock.now() }
      : { since: this.#awaySince, until: this.#backAt }
  }

  #goAway(): void {
    // One that follows soon is the same to everybody else.
    if (!(this.isAway || this.isRefusing) && this.clock.now() - this.#backAt > this.store.lease)
      this.#awaySince = this.clock.now()
  }

  /** It stands still for a while, with all connections open. */
  hang(milliseconds: number): void {
    this.#goAway()
    this.#isHanging = true
    this.#recoverAfter(milliseconds)
  }

  /** True when each write is answered with an error. */
  get isRefusing(): boolean {
    return this.clock.now() < this.refusesUntil
  }

  /** It answers each write with an error for a while: no lease can be renewed. */
  refuse(milliseconds: number): void {
    this.#goAway()
    const until = this.clock.now() + milliseconds
    if (!this.isRefusing) this.refusesSince = this.clock.now()
    this.refusesUntil = Math.max(this.refusesUntil, until)
    this.clock.at(until, () => {
      if (this.refusesUntil === until && !this.isAway) this.#backAt = until
    })
  }

  /** It is gone for a while, with all connections. */
  restart(milliseconds: number, forgetsLeases: boolean): void {
    this.#goAway()
    this.#isHanging = false
    this.#unread = []
    this.isDown = true
    this.starts++
    if (forgetsLeases) {
      this.store.forgetLeases()
      this.forgotAt = this.clock.now()
    }
    for (const client of [...this.connected]) client.cut()
    this.#recoverAfter(milliseconds)
  }

  #recoverAfter(milliseconds: number): void {
    const recovery = ++this.#recoveries
    this.clock.at(this.clock.now() + milliseconds, () => {
      if (recovery === this.#recoveries) this.recover()
    })
  }

  /** Whatever its trouble was, it is over. */
  recover(): void {
    this.#recoveries++
    if (this.isAway || this.isRefusing) this.#backAt = this.clock.now()
    if (this.isDown) this.store.startedAt = this.store.now()
    this.isDown = false
    this.#isHanging = false
    const unread = this.#unread
    this.#unread = []
    for (const message of unread) message()
  }

  // ── Messages ───────────────────────────────────────────────────────────────────────────────────────────────────

  publish(topic: string, text: string): void {
    if (this.clock.now() < this.deafUntil) return
    for (const client of this.connected) if (client.topics.includes(topic)) client.told(topic, text)
  }

  // ── Who waits for a job ────────────────────────────────────────────────────────────────────────────────────────

  wait(waiter: Waiter): void {
    const queue = this.store.queue(waiter.queue)
    queue.changed = () => this.#changed(waiter.queue)
    if (queue.hasWaiting) return waiter.wake()
    this.#waiters.add(waiter)
    this.#armDue(waiter.queue)
  }

  waitNoMore(waiter: Waiter): void {
    this.#waiters.delete(waiter)
  }

  /** One who waits is told; of what is left then, whoever takes it tells the next. */
  look(name: string): void {
    if (!this.store.queue(name).hasWaiting) return
    for (const waiter of this.#waiters) {
      if (waiter.queue !== name) continue
      this.#waiters.delete(waiter)
      return waiter.wake()
    }
  }

  #changed(name: string): void {
    this.look(name)
    this.#armDue(name)
  }

  #armDue(name: string): void {
    this.#timers.get(name)?.()
    const queue = this.store.queue(name)
    const next = queue.nextDue()
    const isAwaited = next < Number.POSITIVE_INFINITY && [...this.#waiters].some((one) => one.queue === name)
    if (!isAwaited) return
    const due = this.clock.now() + Math.max(0, next - this.clock.time)
    const stop = this.clock.at(due, () => this.receive(() => queue.promoteDue(this.clock.time)))
    this.#timers.set(name, stop)
  }
}
