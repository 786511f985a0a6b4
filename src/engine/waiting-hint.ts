/**
 * A hint for whoever runs tasks that mostly wait on threads for tasks that compute: jobs wait for a thread, and the threads
 * wait themselves, for a network or a disk. One such task in a pool of one thread makes a server look slow that has nothing
 * to do. Told once for each runtime.
 */
import type { ReadyJobs } from '../brokers/port/broker.ts'
import type { Lane, Pool } from '../pools/pool.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import type { RunTimes } from './run-times.ts'

/** Milliseconds over which threads are looked at. */
const SPAN = 1000
/** A thread that is busy for less than this share of the time only waits. */
const BUSY = 0.1
/** Milliseconds: a job that takes less does not wait for anything. Its thread is idle because too few jobs reach it. */
const SHORTEST = 1
/** An event loop that is busy for more than this share of the time may itself be what jobs wait for. */
const FREE = 0.5

/** What the hint is found with. */
export interface HintParts {
  readonly ready: Pick<ReadyJobs, 'peek'>
  readonly clock: Clock
  readonly runTimes: RunTimes
  readonly say: (line: string) => void
}

/** Looks at pools in which jobs wait. */
export class WaitingHint {
  readonly #parts: HintParts
  /** What the threads of a pool had done when they were looked at for the first time. */
  readonly #before = new Map<Pool, Seen>()
  #isTold = false

  constructor(parts: HintParts) {
    this.#parts = parts
  }

  /** Jobs wait, and no thread of their pool has room. */
  jobsWait(pool: Pool): void {
    if (this.#isTold || this.#before.has(pool)) return
    const seen = this.#see(pool)
    if (seen === undefined) return
    this.#before.set(pool, seen)
    this.#parts.clock.timer(SPAN, () => this.#look(pool))
  }

  #look(pool: Pool): void {
    const before = this.#before.get(pool)
    this.#before.delete(pool)
    const waiting = this.#parts.ready.peek(pool.name)
    const now = this.#see(pool)
    if (this.#isTold || before === undefined || now === undefined || waiting === undefined) return
    if (!this.#isWaiting(before, now)) return this.jobsWait(pool)
    this.#isTold = true
    const { task } = waiting.entry
    this.#parts.say(
      `jobs such as "${task.name}" wait for a thread of pool "${pool.name}", whose threads only wait themselves. Let tasks that mostly await run many at a time: defineTask({ pool: 'io' }), or raise the concurrency of the pool`,
    )
  }

  /** Undefined unless every thread has a job and can tell how long its loop was idle. */
  #see(pool: Pool): Seen | undefined {
    const lanes = new Map<Lane, SeenLane>()
    for (const lane of pool.lanes) {
      const times = lane.inFlight.size > 0 ? lane.loopTimes?.() : undefined
      if (times === undefined) return undefined
      lanes.set(lane, { ...times, jobs: new Set(lane.inFlight.keys()) })
    }
    const { clock } = this.#parts
    return lanes.size === 0 ? undefined : { at: clock.now(), loopActive: clock.loopActive?.() ?? 0, lanes }
  }

  #isWaiting(before: Seen, now: Seen): boolean {
    if (now.loopActive - before.loopActive > FREE * (now.at - before.at)) return false
    for (const [lane, seen] of now.lanes) {
      const first = before.lanes.get(lane)
      if (first === undefined || !onlyWaited(first, seen) || !this.#hasLongJob(first, seen)) return false
    }
    return true
  }

  /** Jobs that take no time at all leave their thread idle between bundles, and say nothing by that. */
  #hasLongJob(before: SeenLane, now: SeenLane): boolean {
    for (const job of now.jobs) {
      if (before.jobs.has(job) || this.#parts.runTimes.expected(job.entry.index) >= SHORTEST) return true
    }
    return false
  }
}

/** What was seen of a thread at one moment. */
interface SeenLane {
  /** Milliseconds that its loop was idle so far. */
  readonly idle: number
  /** Milliseconds that it was busy. */
  readonly active: number
  /** The jobs that it had. */
  readonly jobs: ReadonlySet<JobRecord>
}

/** What was seen of a pool at one moment. */
interface Seen {
  readonly at: number
  /** Milliseconds that the event loop of the process has been busy so far. */
  readonly loopActive: number
  readonly lanes: ReadonlyMap<Lane, SeenLane>
}

function onlyWaited(before: SeenLane, { idle, active }: SeenLane): boolean {
  const worked = active - before.active
  const all = worked + idle - before.idle
  return all > 0 && worked / all < BUSY
}
