/** Accepted, unfinished jobs of this process: how many there are, and what follows from that. */
import type { Clock } from '../words/clock.ts'
import { QueueFullError } from '../words/errors.ts'
import type { RuntimeEvents } from '../words/events.ts'
import type { Announcer } from './announcer.ts'
import { KeepAlive } from './keep-alive.ts'
import type { Rate } from './rate.ts'

/** What the count works with. */
export interface PendingParts {
  readonly announcer: Announcer
  readonly clock: Clock
  readonly rate: Rate
  /** Jobs at most. */
  readonly max: number
  /** Bytes of their payloads at most. */
  readonly maxBytes: number
}

/** Counts unfinished jobs. While there are any, the process stays alive. */
export class Pending {
  count = 0
  /** Bytes of their payloads, as far as these are held in memory. */
  bytes = 0
  readonly #parts: PendingParts
  readonly #keepAlive = new KeepAlive()
  #isStopping = false

  constructor(parts: PendingParts) {
    this.#parts = parts
  }

  /** So many more jobs are unfinished; or fewer, where another process has taken jobs over. */
  add(jobs: number): void {
    const before = this.count
    this.count += jobs
    if (before === 0 && this.count > 0) this.#keepAlive.hold()
    else if (this.count === 0) this.#rest()
  }

  /** A job with so many bytes of payload is accepted. */
  accepted(bytes: number): void {
    this.bytes += bytes
    this.add(1)
  }

  /** The payloads of unfinished jobs are held elsewhere from now on. */
  freed(bytes: number): void {
    this.bytes -= bytes
  }

  /** A job with so many bytes of payload is over. */
  done(bytes: number): void {
    this.bytes -= bytes
    if (--this.count === 0) this.#rest()
  }

  /** True when so many more jobs do not fit. */
  isFull(jobs: number): boolean {
    return this.count + jobs > this.#parts.max
  }

  /** @throws QueueFullError when so many more jobs do not fit. */
  makeRoom(jobs: number): void {
    if (!this.isFull(jobs)) return
    const { announcer, clock, max, rate } = this.#parts
    const retryAfter = rate.retryAfter(max, clock.now())
    announcer.events.emit('runtime:overloaded', this.#overload(retryAfter))
    throw new QueueFullError(this.count, max, retryAfter)
  }

  /** True when so many more bytes of payload do not fit. */
  isFullOf(bytes: number): boolean {
    return this.bytes + bytes > this.#parts.maxBytes
  }

  /** @throws QueueFullError when so many more bytes of payload do not fit. */
  makeRoomFor(bytes: number): void {
    if (!this.isFullOf(bytes)) return
    const { announcer, clock, max, maxBytes, rate } = this.#parts
    const retryAfter = rate.retryAfter(this.count, clock.now())
    announcer.events.emit('runtime:overloaded', this.#overload(retryAfter))
    throw new QueueFullError(this.count, max, retryAfter, { pending: this.bytes, max: maxBytes })
  }

  #overload(retryAfter: number): RuntimeEvents['runtime:overloaded'] {
    const { max, maxBytes } = this.#parts
    const { count, bytes } = this
    return { pending: count, maxPending: max, pendingBytes: bytes, maxPendingBytes: maxBytes, retryAfter }
  }

  /** A stop begins: its report is awaited, so the process stays alive until `close`. */
  stopping(): void {
    this.#isStopping = true
    this.#keepAlive.hold()
  }

  close(): void {
    this.#keepAlive.close()
  }

  #rest(): void {
    if (!this.#isStopping) this.#keepAlive.letGo()
  }
}
