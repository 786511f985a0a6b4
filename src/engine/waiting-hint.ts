/**
 * A hint for whoever runs tasks that mostly wait on threads for tasks that compute: jobs wait for a thread, and the threads
 * wait themselves, for a network or a disk. One such task in a pool of one thread makes a server look slow that has nothing
 * to do. Told once for each runtime.
 */
import type { ReadyJobs } from '../brokers/port/broker.ts'
import type { Lane, Pool } from '../pools/pool.ts'
import type { Clock } from '../words/clock.ts'

/** Milliseconds over which threads are looked at. */
const SPAN = 1000
/** A thread that is busy for less than this share of the time only waits. */
const BUSY = 0.1

/** What the hint is found with. */
export interface HintParts {
  readonly ready: Pick<ReadyJobs, 'peek'>
  readonly clock: Clock
  readonly say: (line: string) => void
}

/** Looks at pools in which jobs wait. */
export class WaitingHint {
  readonly #parts: HintParts
  /** What the threads of a pool had done when they were looked at for the first time. */
  readonly #before = new Map<Pool, Map<Lane, { idle: number; active: number }>>()
  #isTold = false

  constructor(parts: HintParts) {
    this.#parts = parts
  }

  /** Jobs wait, and no thread of their pool has room. */
  jobsWait(pool: Pool): void {
    if (this.#isTold || this.#before.has(pool)) return
    const busy = busyLanes(pool)
    if (busy === undefined) return
    this.#before.set(pool, busy)
    this.#parts.clock.timer(SPAN, () => this.#look(pool))
  }

  #look(pool: Pool): void {
    const before = this.#before.get(pool)
    this.#before.delete(pool)
    const waiting = this.#parts.ready.peek(pool.name)
    const now = busyLanes(pool)
    if (this.#isTold || before === undefined || now === undefined || waiting === undefined) return
    if ([...now].some(([lane, times]) => !onlyWaited(before.get(lane), times))) return this.jobsWait(pool)
    this.#isTold = true
    const { task } = waiting.entry
    this.#parts.say(
      `jobs such as "${task.name}" wait for a thread of pool "${pool.name}", whose threads only wait themselves. Let tasks that mostly await run many at a time: defineTask({ pool: 'io' }), or raise the concurrency of the pool`,
    )
  }
}

/** How long the loop of each thread was idle and active so far; undefined unless every thread has a job and can tell. */
function busyLanes(pool: Pool): Map<Lane, { idle: number; active: number }> | undefined {
  const lanes = new Map<Lane, { idle: number; active: number }>()
  for (const lane of pool.lanes) {
    const times = lane.inFlight.size > 0 ? lane.loopTimes?.() : undefined
    if (times === undefined) return undefined
    lanes.set(lane, times)
  }
  return lanes.size === 0 ? undefined : lanes
}

function onlyWaited(
  before: { idle: number; active: number } | undefined,
  { idle, active }: { idle: number; active: number },
): boolean {
  if (before === undefined) return false
  const worked = active - before.active
  const all = worked + idle - before.idle
  return all > 0 && worked / all < BUSY
}
