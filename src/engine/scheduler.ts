/**
 * The scheduler: brings available jobs and free threads together. It fills bundles, keeps an eye on what is running,
 * and hands outcomes on. What an outcome means for the job is decided in `outcomes`.
 */
import type { ReadyJobs } from '../brokers/port/broker.ts'
import type { Lane, Pool } from '../pools/pool.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved } from '../rules/moved.ts'
import type { Clock } from '../words/clock.ts'
import type { CrashHolds } from './crash-holds.ts'
import { Pace } from './pace.ts'
import type { RunTimes } from './run-times.ts'
import type { Tracing } from './tracing.ts'
import type { WaitingHint } from './waiting-hint.ts'
import type { Watch } from './watch.ts'

/** Milliseconds without a bundle, after which a job counts as a lone one. */
const PAUSE = 0.5

/** How full a bundle may be. */
export interface BundleLimits {
  readonly max: number
  readonly milliseconds: number
}

/** What a scheduler works with. */
export interface SchedulerParts {
  readonly ready: ReadyJobs
  readonly pools: ReadonlyMap<string, Pool>
  readonly clock: Clock
  readonly limits: BundleLimits
  readonly runTimes: RunTimes
  readonly watch: Watch
  /** Whether a task of the runtime has a `concurrency` of its own. */
  readonly hasLimits: boolean
  readonly holds: CrashHolds
  readonly hint: WaitingHint
  readonly tracing: Tracing | null
}

/** Sends jobs to threads. */
export class Scheduler {
  readonly #ready: ReadyJobs
  readonly #pools: ReadonlyMap<string, Pool>
  readonly #clock: Clock
  readonly #limits: BundleLimits
  readonly #runTimes: RunTimes
  readonly #watch: Watch
  readonly #hasLimits: boolean
  readonly #holds: CrashHolds
  readonly #hint: WaitingHint
  readonly #tracing: Tracing | null
  readonly #pace: Pace
  readonly #awake = new Set<string>()
  /** The one of them that was added last. */
  #lastAwake: string | undefined
  readonly #paused = new Set<string>()
  #isPaused = false
  #isClosed = false
  #isSet = false
  #isWaiting = false
  #isAnnouncing = false
  #sentAt = 0

  constructor(parts: SchedulerParts) {
    this.#ready = parts.ready
    this.#pools = parts.pools
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#runTimes = parts.runTimes
    this.#watch = parts.watch
    this.#hasLimits = parts.hasLimits
    this.#holds = parts.holds
    this.#hint = parts.hint
    this.#tracing = parts.tracing
    this.#pace = new Pace(parts.clock)
  }

  /** Taking in outcomes has cost this many milliseconds of the event loop. */
  spent(milliseconds: number): void {
    this.#pace.spent(milliseconds)
  }

  /**
   * Jobs of this pool have become available. They are sent at the end of this turn of the event loop, and what else arrives
   * in the turn travels along. After a pause there is nothing to wait for: they are sent once the code that adds them is
   * through, which spares a lone job the rest of the turn.
   */
  wake(pool: string): void {
    if (pool !== this.#lastAwake) {
      this.#awake.add(pool)
      this.#lastAwake = pool
    }
    if (this.#isSet || this.#isWaiting) return
    this.#isSet = true
    const clock = this.#clock
    if (clock.atOnce !== undefined && clock.now() - this.#sentAt > PAUSE) clock.atOnce(this.#turn)
    else clock.soon(this.#turn)
  }

  /** A thread has room: it is served at once, for it stands idle. What still waits may need another thread. */
  laneFree(pool: Pool, lane: Lane): void {
    // Jobs are being announced: what a listener sets free is served at the end of the turn, after the announcements.
    if (this.#isAnnouncing) return this.wake(pool.name)
    if (this.#isPaused || this.#paused.has(pool.name)) return
    const wait = this.#pace.wait()
    if (wait > 0) return this.#later(pool.name, wait)
    if (this.#fill(pool, lane) && this.#ready.peek(pool.name) !== undefined) this.#jobsWait(pool)
  }

  #jobsWait(pool: Pool): void {
    pool.grow()
    this.#hint.jobsWait(pool)
  }

  /** Nothing is sent while `announce` runs: several jobs are told of, and none of them may start before its turn came. */
  announcing(announce: () => void): void {
    this.#isAnnouncing = true
    try {
      announce()
    } finally {
      this.#isAnnouncing = false
    }
  }

  /** Starts no more jobs: of one pool, or of all. Running ones go on. */
  pause(pool?: string): void {
    if (pool === undefined) this.#isPaused = true
    else this.#paused.add(pool)
  }

  /** Whether jobs of a pool are started. */
  isPaused(pool: string): boolean {
    return this.#isPaused || this.#paused.has(pool)
  }

  /** Starts no more jobs, whoever asks: the runtime ends. */
  close(): void {
    this.#isClosed = true
    this.#isPaused = true
  }

  /** Starts jobs again. */
  resume(pool?: string): void {
    if (this.#isClosed) return
    if (pool === undefined) {
      this.#isPaused = false
      this.#paused.clear()
    } else this.#paused.delete(pool)
    for (const name of this.#pools.keys()) this.wake(name)
  }

  readonly #turn = (): void => {
    this.#isSet = false
    if (this.#isPaused) return this.#sleep()
    const wait = this.#pace.wait()
    if (wait > 0) return this.#later(undefined, wait)
    const names = [...this.#awake]
    this.#sleep()
    const begun = this.#clock.now()
    for (const name of names) {
      const pool = this.#pools.get(name)
      if (pool === undefined || this.#paused.has(name)) continue
      for (const lane of pool.lanes) if (!this.#fill(pool, lane)) break
      if (this.#ready.peek(name) !== undefined) this.#jobsWait(pool)
    }
    this.#pace.spent(this.#clock.now() - begun)
  }

  #sleep(): void {
    this.#awake.clear()
    this.#lastAwake = undefined
  }

  /** The event loop is needed elsewhere: what waits goes out a little later, all pools in one turn. */
  #later(pool: string | undefined, wait: number): void {
    if (pool !== undefined) this.#awake.add(pool)
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#clock.timer(wait, () => {
      this.#isWaiting = false
      this.#turn()
    })
  }

  /**
   * Fills the room of a lane. False when no job is left. One bundle is all where jobs run one at a time; where many run
   * at once, a job that travels alone leaves room for those behind it.
   */
  #fill(pool: Pool, lane: Lane): boolean {
    for (let room = lane.room(); room > 0; room = lane.room()) if (!this.#send(pool, lane, room)) return false
    return true
  }

  /** Sends one bundle to a lane. False when no job is left. */
  #send(pool: Pool, lane: Lane, room: number): boolean {
    const first = this.#claim(pool.name)
    if (first === undefined) return false
    const bundle = [first]
    // What keeps ending threads travels alone: its neighbours would wait for the next one.
    const isAlone = this.#holds.isAny && this.#holds.claimed(first)
    const most = isAlone ? 1 : Math.min(room, lane.concurrency > 1 ? room : this.#limits.max)
    let expected = this.#expected(first, lane)
    // Most runtimes have no task with a limit, and nothing to ask of each job.
    let least = this.#hasLimits ? leastBehind(first) : Number.NEGATIVE_INFINITY
    let next = this.#ready.peek(pool.name)
    while (next !== undefined && bundle.length < most) {
      expected += this.#expected(next, lane)
      if (expected > Math.min(this.#limits.milliseconds, Number.MAX_VALUE)) break
      if (next.priority < least || (this.#holds.isAny && this.#holds.isHeld(next.entry))) break
      if (this.#hasLimits) least = Math.max(least, leastBehind(next))
      bundle.push(this.#claim(pool.name) as JobRecord)
      next = this.#ready.peek(pool.name)
    }
    if (this.#tracing !== null) this.#tracing.sending(bundle)
    lane.send(bundle)
    this.#sentAt = this.#clock.now()
    const mayBeStream = next === undefined && !this.#ready.refills
    this.#pace.sent(bundle.length, mayBeStream, this.#sentAt)
    this.#ready.sent(bundle, lane.id)
    this.#watch.sent(lane, bundle)
    return true
  }

  #claim(pool: string): JobRecord | undefined {
    const job = this.#ready.claim(pool)
    if (job !== undefined) job.attempts++
    return job
  }

  /**
   * A moved payload is gone once it is sent, so such a job travels alone: it is never taken back from a bundle.
   * A thread that runs many jobs at once holds none of them behind another, so their run time does not matter.
   */
  #expected(job: JobRecord, lane: Lane): number {
    if (job.payload instanceof Moved) return Number.POSITIVE_INFINITY
    // What has brought a thread or a process down must not take neighbours along.
    const { extras } = job
    if (extras !== null && (extras.isSuspect === true || job.crashes > 0)) return Number.POSITIVE_INFINITY
    const isAny = this.#limits.milliseconds === Number.POSITIVE_INFINITY || lane.concurrency > 1
    return isAny ? 0 : this.#runTimes.expected(job.entry.index)
  }
}

/**
 * The lowest priority that may follow a job in its bundle. Others of its task may wait for it alone, where the task has a
 * limit: the end of the bundle is the moment for them to come before what ranks lower.
 */
function leastBehind({ entry, priority }: JobRecord): number {
  return entry.task.policy.concurrency === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : priority
}
