/**
 * The health of the store. A connection that is open says little: a store that hangs, or whose machine is gone, leaves it
 * open and answers nothing; one that is out of memory, or a replica, answers and takes no write. So it is given a small
 * write all the time, and it is noted which of all other writes fail. What comes of it decides two things: whether the
 * store counts as away, and whether this process may take jobs whose lease has run out.
 *
 * The latter because a store that was away has heard of nobody: as it comes back, the leases of processes that are alive
 * may have run out as well. They have a whole lease then to renew what they have, or to write how it ended.
 */
import type { Clock } from '../../../words/clock.ts'
import { every } from '../../lifecycle/every.ts'
import type { WriteWatch } from '../../lifecycle/retries.ts'
import { concernsStore, StoreFault } from './faults.ts'

/** What is asked of the store. */
export interface HealthStore {
  /** Resolves as soon as the store has taken a small write. */
  probe(): Promise<unknown>
  /** Milliseconds since the store was started, as far as it tells. */
  uptime(): Promise<number>
  /** Gives up all connections, and makes new ones. */
  reconnect(): void
  /** What went wrong, in words that anybody may read. */
  explain(error: unknown): StoreFault
}

/** Who hears how it stands. */
export interface HealthEvents {
  /** A question was not answered in time. */
  onTimeout(fault: StoreFault): void
  /** After that, one was. */
  onRecovered(): void
  /** A write has failed for longer than the patience. */
  onRefused(fault: StoreFault): void
  /** After that, everything that had failed was written. */
  onAccepted(): void
  /** Writes go through again: whatever waits for its next try may be tried now. */
  onWritable(): void
}

/** Since when something fails, and how. */
interface Setback {
  readonly since: number
  error: unknown
}

const LONGEST_BEAT = 1000
// Parts of a lease. Every process renews its leases three times in their length: a shorter silence cannot cost it any.
const LONGEST_SILENCE = 1 / 3
// A process that stood still for longer cannot know whether all others did: it lets them renew their leases first.
const AFTER_STANDING_STILL = 1 / 4
// After so many times the patience, new connections are tried: the machine at the other end may not be there any more.
const UNTIL_GIVEN_UP = 3

/** Asks the store whether it is there, and hears what it does not take. */
export class HealthCheck implements WriteWatch {
  readonly #clock: Clock
  readonly #store: HealthStore
  readonly #events: HealthEvents
  readonly #lease: number
  readonly #patience: number
  readonly #beat: number
  #lookedAt = 0
  /** When the last answer came; the second without the time in which this process stood still. */
  #heardAt = 0
  #answeredAt = 0
  #wasCut = false
  #askedAt: number | undefined
  #givenUpAt = Number.NEGATIVE_INFINITY
  /** Since when it has answered without a pause that counts. */
  #steadySince = Number.POSITIVE_INFINITY
  #isSilent = false
  /** What fails at present: a write, a loop that claims, the small write of this check. */
  readonly #setbacks = new Map<object, Setback>()
  #isRefusing = false
  #isClosed = false
  #stop = (): void => {}

  /** `lease` and `patience` in milliseconds. */
  constructor(
    clock: Clock,
    { lease, patience }: { lease: number; patience: number },
    store: HealthStore,
    events: HealthEvents,
  ) {
    this.#clock = clock
    this.#store = store
    this.#events = events
    this.#lease = lease
    this.#patience = patience
    this.#beat = Math.min(LONGEST_BEAT, lease / 8, patience / 2)
  }

  /** The store has been reached. */
  async start(): Promise<void> {
    const asked = this.#clock.now()
    this.#lookedAt = asked
    this.#heardAt = asked
    this.#answeredAt = asked
    this.#stop = every(this.#clock, this.#beat, () => this.#look())
    const uptime = await this.#store.uptime().catch(() => 0)
    this.#steadySince = asked - uptime
    this.#answered()
  }

  /** The connection has broken. */
  cut(): void {
    this.#wasCut = true
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  /** The connection is there again. */
  back(): void {
    const isStarted = this.#lookedAt > 0 && !this.#isClosed
    if (isStarted && this.#askedAt === undefined) void this.#ask(this.#clock.now())
  }

  // ── Writes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Something was tried and has failed; `what` stands for it until it has passed. */
  failed(what: object, error: unknown): void {
    if (this.#isClosed || !concernsStore(error)) return
    const setback = this.#setbacks.get(what)
    if (setback === undefined) this.#setbacks.set(what, { since: this.#clock.now(), error })
    else setback.error = error
  }

  /** It is done, or nobody tries it any more. */
  passed(what: object): void {
    if (this.#setbacks.size === 0 || !this.#setbacks.delete(what) || this.#setbacks.size > 0) return
    if (!this.#isRefusing || this.#isClosed) return
    this.#isRefusing = false
    this.#events.onAccepted()
  }

  /** The oldest comes first, since each is noted as it fails for the first time. */
  #lookAtSetbacks(now: number): void {
    const [oldest] = this.#setbacks.values()
    if (oldest === undefined || now - oldest.since < this.#patience) return
    const fault = this.#store.explain(oldest.error)
    if (!this.#isRefusing) {
      this.#isRefusing = true
      this.#events.onRefused(fault)
    }
    // After a fail-over, the name of the server leads to another one.
    if (fault.reason === 'read-only') this.#reconnect(now, oldest.since)
  }

  /** At most once in so long. */
  #reconnect(now: number, since: number): void {
    if (now - Math.max(since, this.#givenUpAt) < UNTIL_GIVEN_UP * this.#patience) return
    this.#givenUpAt = now
    this.#store.reconnect()
  }

  /** True when the store answers, and has done so for as long as a lease lasts. */
  async isSteady(): Promise<boolean> {
    try {
      await this.#store.probe()
    } catch {
      return false
    }
    this.#answered()
    return this.#clock.now() - this.#steadySince >= this.#lease
  }

  #look(): void {
    const now = this.#clock.now()
    this.#noteStandstill(now)
    this.#lookedAt = now
    this.#lookAtSetbacks(now)
    if (this.#askedAt === undefined) void this.#ask(now)
    else if (now - this.#askedAt >= this.#patience) this.#silent(now, this.#askedAt)
  }

  /**
   * While this process stood still it could not hear any answer, so that time is no silence of the store. The first to
   * notice may be the timer or an answer: on a busy machine, answers are often handled before the timers that are late.
   */
  #noteStandstill(now: number): void {
    const stoodStill = now - this.#lookedAt - this.#beat
    if (stoodStill <= 0) return
    // What has begun since then is not older for it.
    const moved = (at: number): number => Math.min(at + stoodStill, now)
    this.#lookedAt += stoodStill
    for (const [what, { since, error }] of this.#setbacks)
      this.#setbacks.set(what, { since: moved(since), error })
    this.#answeredAt = moved(this.#answeredAt)
    if (this.#askedAt !== undefined) this.#askedAt = moved(this.#askedAt)
    if (stoodStill <= this.#lease * LONGEST_SILENCE) return
    this.#steadySince = Math.max(this.#steadySince, now - this.#lease * (1 - AFTER_STANDING_STILL))
  }

  async #ask(now: number): Promise<void> {
    this.#askedAt = now
    try {
      await this.#store.probe()
      this.#answered()
      this.passed(this)
      if (this.#setbacks.size > 0 && !this.#isClosed) this.#events.onWritable()
    } catch (error) {
      // Of a connection that breaks, the store tells by itself, and at once.
      this.failed(this, error)
    }
    this.#askedAt = undefined
  }

  #answered(): void {
    const now = this.#clock.now()
    this.#noteStandstill(now)
    // A store whose connections broke was away, whatever this process did meanwhile.
    const silentSince = this.#wasCut ? this.#heardAt : this.#answeredAt
    if (now - silentSince > this.#lease * LONGEST_SILENCE) this.#steadySince = now
    this.#heardAt = now
    this.#answeredAt = now
    this.#wasCut = false
    if (!this.#isSilent || this.#isClosed) return
    this.#isSilent = false
    this.#events.onRecovered()
  }

  #silent(now: number, askedAt: number): void {
    if (!this.#isSilent) {
      this.#isSilent = true
      const what = `The store has not answered for ${Math.round(now - askedAt)} ms.`
      this.#events.onTimeout(new StoreFault('unreachable', what))
    }
    this.#reconnect(now, askedAt)
  }
}
