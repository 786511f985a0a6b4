/** Stopping: accept no more, let what was accepted finish, and past the deadline say by name what did not. */
import type { Broker } from '../brokers/port/broker.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { JobLostError } from '../words/errors.ts'
import { UNFINISHED_STATES } from '../words/job.ts'
import type { Announcer } from './announcer.ts'
import { AwaitedPromises } from './awaited-promises.ts'
import type { CrashHolds } from './crash-holds.ts'
import type { JobIds } from './ids.ts'
import type { Limits } from './limits.ts'
import type { Metrics } from './metrics.ts'
import type { Outcomes } from './outcomes.ts'
import { tellPauses } from './pauses.ts'
import type { Pending } from './pending.ts'
import type { PoolSet } from './pool-set.ts'
import type { Scheduler } from './scheduler.ts'
import type { Watch } from './watch.ts'

/** A job that a stop leaves unfinished. */
export interface Unfinished {
  readonly id: string
  readonly name: string
}

/** What `stop` resolves to. */
export interface StopReport {
  /** Jobs that completed while the runtime was stopping. */
  readonly completed: number
  /** Jobs that became dead while it was stopping. */
  readonly failed: number
  /** Jobs that did not finish and are gone: the broker keeps nothing, or its store had not taken them. */
  readonly lost: readonly Unfinished[]
  /** Jobs that did not finish and go on at the next start: the broker keeps them. The newest 1,000 at most. */
  readonly left: readonly Unfinished[]
  /** Names of promises given to `waitUntil` that had not settled; absent when all had. */
  readonly unsettled?: readonly string[]
}

// A durable broker may have millions left; a report is read by a person.
const MOST_NAMED = 1000
const LONGEST_QUESTION = 5000
const LONGEST_CLOSE = 5000
// Past the deadline, for the question of what is left and for the last writes each.
const LEAST = 300

/** What a stop deals with. */
export interface StoppingParts {
  readonly announcer: Announcer
  readonly broker: Broker
  readonly clock: Clock
  readonly metrics: Metrics
  readonly holds: CrashHolds
  readonly ids: JobIds
  readonly limits: Limits
  readonly outcomes: Outcomes
  readonly pending: Pending
  readonly pools: PoolSet
  readonly scheduler: Scheduler
  readonly watch: Watch
}

/** The one stop of a runtime. */
export class Stopping {
  /** Promises that the stop waits for. */
  readonly awaited: AwaitedPromises
  readonly #parts: StoppingParts
  #phase: 'running' | 'stopping' | 'aborting' | 'stopped' = 'running'
  #deadline = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined
  #isToLook = false
  #hasBegun = false
  #before = { completed: 0, dead: 0 }
  /** Jobs that were accepted, and that a durable broker never had. */
  readonly #lost: Unfinished[] = []
  readonly #done = Promise.withResolvers<StopReport>()

  constructor(parts: StoppingParts) {
    this.#parts = parts
    this.awaited = new AwaitedPromises({
      announcer: parts.announcer,
      isOpen: () => this.#phase !== 'stopped',
      settled: () => this.look(),
    })
  }

  get phase(): 'running' | 'stopping' | 'stopped' {
    return this.#phase === 'aborting' ? 'stopping' : this.#phase
  }

  /** Begins to stop, or brings the deadline of a stop under way nearer; the deadline is never put off. */
  stop(timeout: number): Promise<StopReport> {
    const { clock } = this.#parts
    if (!this.#hasBegun) this.#begin()
    if (this.#phase === 'running') this.#phase = 'stopping'
    const deadline = clock.now() + timeout
    if (this.#phase === 'stopping' && deadline < this.#deadline) {
      this.#deadline = deadline
      this.#clearTimer?.()
      this.#clearTimer =
        timeout === Number.POSITIVE_INFINITY ? undefined : clock.timer(timeout, () => this.#abort())
    }
    this.look()
    return this.#done.promise
  }

  /**
   * Something has ended: was that all that a stop waits for? Decided in a moment: who tells of the end of a job frees the
   * job behind it after that.
   */
  look(): void {
    if (this.#phase === 'running' || this.#isToLook) return
    this.#isToLook = true
    queueMicrotask(() => {
      this.#isToLook = false
      if (this.#phase === 'stopping' && this.#isDrained()) this.#finish()
      else if (this.#phase === 'aborting' && !this.#parts.pools.isBusy) this.#finish()
    })
  }

  /** How many jobs of each task a stop by `deadline` waits for, as far as that can be told at once. */
  waitedFor(deadline: number): Map<string, number> {
    const { broker, pools } = this.#parts
    const isDurable = broker.durability !== null
    const jobs = isDurable ? [...pools.lanes()].flatMap((lane) => [...lane.inFlight.keys()]) : null
    const listed = jobs ?? broker.jobs.list({ state: UNFINISHED_STATES, limit: Number.POSITIVE_INFINITY })
    const names = new Map<string, number>()
    if (listed instanceof Promise) return names
    for (const { extras, entry } of listed.toReversed()) {
      const { name } = entry.task
      if ((extras?.dueAt ?? 0) <= deadline) names.set(name, (names.get(name) ?? 0) + 1)
    }
    return names
  }

  #begin(): void {
    const { announcer, broker, metrics, pending, scheduler } = this.#parts
    this.#hasBegun = true
    pending.stopping()
    this.#before = metrics.ends
    // What a durable broker holds can wait for the next start; what memory holds cannot.
    if (broker.durability !== null) scheduler.close()
    tellPauses(this.#parts)
    announcer.events.emit('runtime:stopping', { pending: pending.count })
  }

  /** True when nothing is left that could finish before the deadline. */
  #isDrained(): boolean {
    const { broker, pending, pools } = this.#parts
    if (this.awaited.size > 0) return false
    if (broker.durability !== null) return !pools.isBusy
    if (pending.count === 0) return true
    const counts = broker.jobs.counts()
    if (counts instanceof Promise) return false
    const { held, available, running } = counts
    return held + available + running === 0 && broker.jobs.nextDue() > this.#deadline
  }

  /** Past the deadline: no further job starts, and running attempts are asked to end. */
  #abort(): void {
    if (this.#phase !== 'stopping') return
    this.#phase = 'aborting'
    const { clock, outcomes, pools, scheduler } = this.#parts
    scheduler.close()
    outcomes.close()
    pools.hurry()
    this.#abortRunning()
    // The watch ends threads after the grace; this is for a thread that even then does not go.
    this.#clearTimer = clock.timer(this.#longestKillGrace() * 2 + 1000, () => this.#finish())
    this.look()
  }

  #abortRunning(): void {
    const { outcomes, pools, watch } = this.#parts
    for (const lane of pools.lanes()) {
      // What has ended by now has ended by itself.
      lane.drain()
      for (const job of [...lane.inFlight.keys()]) {
        if (lane.revoke(job)) outcomes.notStarted(job)
        // Taking back the one before it may have told of an end, and whoever heard may have cancelled this one.
        else if (lane.inFlight.has(job)) watch.end(lane, job, 'stop', undefined, 'The runtime is stopping.')
      }
    }
  }

  #longestKillGrace(): number {
    const { limits, pools } = this.#parts
    let longest = limits.killGrace
    for (const lane of pools.lanes()) {
      for (const job of lane.inFlight.keys()) longest = Math.max(longest, limits.killGraceOf(job))
    }
    return longest
  }

  #finish(): void {
    if (this.#phase === 'stopped') return
    this.#phase = 'stopped'
    this.#clearTimer?.()
    this.#end().then(this.#done.resolve, this.#done.reject)
  }

  /** Ends every thread and gives up what is unfinished. */
  async #end(): Promise<StopReport> {
    const { announcer, broker, metrics, holds, ids, pending, pools, scheduler, watch } = this.#parts
    scheduler.close()
    await pools.stop()
    watch.close()
    holds.close()
    const unfinished = await this.#unfinished()
    const named = unfinished.map((job) => ({ id: ids.idOf(job), name: job.entry.task.name }))
    const isDurable = broker.durability !== null
    if (!isDurable) {
      for (const job of unfinished) {
        const error = new JobLostError(job.entry.task.name)
        broker.attempts.finish(job, { state: 'cancelled', reason: 'lost', error })
      }
    }
    await broker.close(this.#timeLeft(LONGEST_CLOSE))
    pending.close()
    const gone = new Set(this.#lost.map(({ id }) => id))
    const ends = metrics.ends
    const report: StopReport = {
      completed: ends.completed - this.#before.completed,
      failed: ends.dead - this.#before.dead,
      lost: isDurable ? this.#lost : named,
      left: isDurable ? named.filter(({ id }) => !gone.has(id)) : [],
      ...(this.awaited.size > 0 && { unsettled: this.awaited.names }),
    }
    const { completed, failed, lost, left } = report
    announcer.events.emit('runtime:stopped', { completed, failed, lost: lost.length, left: left.length })
    return report
  }

  /** A job has ended that no broker keeps. */
  lose(job: JobRecord): void {
    const { broker, ids } = this.#parts
    if (this.#phase === 'running' || broker.durability === null) return
    this.#lost.push({ id: ids.idOf(job), name: job.entry.task.name })
  }

  /** How long something may take before the deadline: a little also when that is past, and so long at most. */
  #timeLeft(most: number): number {
    return Math.min(most, Math.max(LEAST, this.#deadline - this.#parts.clock.now()))
  }

  /** In the order accepted. Also where the broker cannot be asked any more, the threads have to end. */
  async #unfinished(): Promise<readonly JobRecord[]> {
    const { broker, clock } = this.#parts
    if (broker.durability === null) {
      const all = broker.jobs.list({ state: UNFINISHED_STATES, limit: Number.POSITIVE_INFINITY })
      return (await all).toReversed()
    }
    // A store that is away keeps what it has, and cannot say what that is.
    if (broker.durability?.stats().state === 'down') return []
    const noAnswer = Promise.withResolvers<readonly JobRecord[]>()
    const stopTimer = clock.timer(this.#timeLeft(LONGEST_QUESTION), () => noAnswer.resolve([]))
    try {
      const named = broker.jobs.list({ state: UNFINISHED_STATES, limit: MOST_NAMED })
      return (await Promise.race([named, noAnswer.promise])).toReversed()
    } catch {
      return []
    } finally {
      stopTimer()
    }
  }
}
