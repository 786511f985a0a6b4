/**
 * The watch over running jobs: one timer for all of them. It ends attempts that run too long, loses patience with
 * handlers that do not end when asked, reads the outcomes of bundles that take longer than expected, and takes back the
 * jobs that stand behind a slow one.
 */
import type { Lane } from '../pools/pool.ts'
import type { Abort, JobRecord } from '../rules/job-record.ts'
import { Moved } from '../rules/moved.ts'
import type { Clock } from '../words/clock.ts'
import type { Limits } from './limits.ts'

/** What the watch asks of the engine. */
export interface WatchHost {
  /** A job was taken back from a bundle before it started. */
  takenBack(job: JobRecord): void
  /** A thread has not taken up what it was sent, although no job runs there; it is being ended. */
  unresponsive(lane: Lane): void
}

// A bundle holds a few milliseconds of work: one that takes longer has met a slow job, or a busy machine.
const LOOK_EVERY = 5
const SLOW_AFTER = 20
// A thread that is free takes up a job within microseconds, within a second where the machine is very busy. One that
// does not is kept busy by what a handler has left behind, and will not come back.
const UNRESPONSIVE_AFTER = 5000
// Where many run at once, a result may wait for the thread's loop to turn while a neighbour holds it.
const LOOK_AT_MANY_EVERY = 50

/** Watches over lanes that have something to watch. */
export class Watch {
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #host: WatchHost
  readonly #lanes = new Map<Lane, { sentAt: number }>()
  #timerAt = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined

  constructor(clock: Clock, limits: Limits, host: WatchHost) {
    this.#clock = clock
    this.#limits = limits
    this.#host = host
  }

  /** Jobs were sent to a lane. A single job without a limit is looked at only to see whether it was taken up. */
  sent(lane: Lane, jobs: readonly JobRecord[]): void {
    const isAlone = jobs.length === 1 && lane.inFlight.size === 1
    let look = isAlone ? UNRESPONSIVE_AFTER : lane.concurrency > 1 ? LOOK_AT_MANY_EVERY : LOOK_EVERY
    for (const job of jobs) look = Math.min(look, this.#limits.timeoutOf(job))
    const now = this.#clock.now()
    this.#lanes.set(lane, { sentAt: now })
    this.#arm(now + Math.max(look, LOOK_EVERY))
  }

  /**
   * Asks a running attempt to end. Only the first reason counts, but for a cancel, after which there must be no further
   * attempt. Without a lane its outcome is at hand: there is nobody left to ask, and the reason decides what follows.
   */
  end(lane: Lane | undefined, job: JobRecord, why: Abort['why'], reason: unknown, message: string): void {
    const before = job.extras?.abort
    if (before !== undefined) {
      if (why === 'cancel' && before.why !== 'cancel') job.more.abort = { ...before, why, reason }
      return
    }
    const now = this.#clock.now()
    const killAt = now + this.#limits.killGraceOf(job)
    job.more.abort = { why, reason, killAt, isGivenUp: false }
    if (lane === undefined) return
    lane.abort(job, message, why === 'lease')
    if (!this.#lanes.has(lane)) this.#lanes.set(lane, { sentAt: now })
    this.#arm(killAt)
  }

  forget(lane: Lane): void {
    this.#lanes.delete(lane)
  }

  close(): void {
    this.#lanes.clear()
    this.#clearTimer?.()
  }

  #arm(at: number): void {
    if (at >= this.#timerAt) return
    this.#clearTimer?.()
    this.#timerAt = at
    this.#clearTimer = this.#clock.timer(at - this.#clock.now(), () => this.#look())
  }

  #look(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    let next = Number.POSITIVE_INFINITY
    for (const [lane, { sentAt }] of this.#lanes) {
      lane.collect()
      if (lane.inFlight.size === 0) this.#lanes.delete(lane)
      // It has had no time to be late, and where one job runs at a time, the next bundle comes when this one is done.
      else if (lane.concurrency === 1 && now < sentAt + LOOK_EVERY) next = Math.min(next, sentAt + LOOK_EVERY)
      else next = Math.min(next, this.#lookAt(lane, sentAt, now))
    }
    if (next !== Number.POSITIVE_INFINITY) this.#arm(Math.max(next, now + LOOK_EVERY))
  }

  /** Looks at the jobs of one lane; returns when to look again. */
  #lookAt(lane: Lane, sentAt: number, now: number): number {
    let next = Number.POSITIVE_INFINITY
    let isSlow = false
    let isRunning = false
    const unstarted: JobRecord[] = []
    for (const job of [...lane.inFlight.keys()]) {
      const started = lane.startedAt(job)
      if (started === undefined) unstarted.push(job)
      else {
        isRunning = true
        isSlow ||= now - Math.max(started, sentAt) >= SLOW_AFTER
        next = Math.min(next, this.#lookAtRunning(lane, job, started, now))
      }
    }
    if (lane.concurrency > 1 && lane.inFlight.size > 1) next = Math.min(next, now + LOOK_AT_MANY_EVERY)
    if (unstarted.length === 0) return next
    // Behind a slow job, not behind a machine that has not got round to the thread yet.
    if (isSlow) this.#takeBack(lane, unstarted)
    if (isRunning) return now + LOOK_EVERY
    if (now < sentAt + UNRESPONSIVE_AFTER) {
      if (unstarted.length > 1) return Math.min(next, now + LOOK_EVERY)
      // It may start at any moment, and its limit counts from then.
      return Math.min(
        next,
        sentAt + UNRESPONSIVE_AFTER,
        now + this.#limits.timeoutOf(unstarted[0] as JobRecord),
      )
    }
    this.#host.unresponsive(lane)
    this.#lanes.delete(lane)
    lane.kill()
    return Number.POSITIVE_INFINITY
  }

  #takeBack(lane: Lane, jobs: readonly JobRecord[]): void {
    for (const job of jobs) {
      // A moved payload is with the thread and nowhere else.
      if (!(job.payload instanceof Moved) && lane.revoke(job)) this.#host.takenBack(job)
    }
  }

  #lookAtRunning(lane: Lane, job: JobRecord, started: number, now: number): number {
    const abort = job.extras?.abort
    if (abort === undefined) {
      const timeout = this.#limits.timeoutOf(job)
      if (now < started + timeout) return started + timeout
      this.end(lane, job, 'timeout', undefined, `The timeout of ${timeout} ms has passed.`)
      return now + this.#limits.killGraceOf(job)
    }
    if (now < abort.killAt) return abort.killAt
    if (lane.concurrency > 1 && !abort.isGivenUp) {
      // Others run on this thread: if its loop still turns, it can give up this one alone.
      abort.isGivenUp = true
      abort.killAt = now + this.#limits.killGraceOf(job)
      lane.giveUp(job)
      return abort.killAt
    }
    lane.kill()
    return Number.POSITIVE_INFINITY
  }
}
