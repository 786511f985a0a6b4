/** Accepted, unfinished jobs of this process: how many there are, and what follows from that. */
import type { Clock } from '../words/clock.ts'
import { QueueFullError } from '../words/errors.ts'
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
}

/** Counts unfinished jobs. While there are any, the process stays alive. */
export class Pending {
  count = 0
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

  /** A job is over. */
  done(): void {
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
    announcer.events.emit('runtime:overloaded', { pending: this.count, maxPending: max, retryAfter })
    throw new QueueFullError(this.count, max, retryAfter)
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
