/** How a runtime ends: what still has to finish, what is aborted, and what the report says. */
import type { Broker } from '../brokers/port/broker.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { Clock } from '../words/clock.ts'
import { JobLostError } from '../words/errors.ts'
import { UNFINISHED_STATES } from '../words/job.ts'
import type { Announcer } from './announcer.ts'
import type { CrashHolds } from './crash-holds.ts'
import type { Intake } from './intake.ts'
import type { KeepAlive } from './keep-alive.ts'
import type { LifecycleHost, StopReport } from './lifecycle.ts'
import type { Outcomes } from './outcomes.ts'
import type { PoolSet } from './pool-set.ts'
import type { Scheduler } from './scheduler.ts'
import type { Watch } from './watch.ts'

// A durable broker may have millions left; a report is read by a person.
const MOST_NAMED = 1000
const LONGEST_QUESTION = 5000

/** What an ending deals with. */
export interface EndingParts {
  readonly announcer: Announcer
  readonly broker: Broker
  readonly clock: Clock
  readonly holds: CrashHolds
  readonly intake: Intake
  readonly keepAlive: KeepAlive
  readonly outcomes: Outcomes
  readonly pools: PoolSet
  readonly scheduler: Scheduler
  readonly watch: Watch
  readonly killGrace: number
  readonly ended: { readonly completed: number; readonly dead: number }
  readonly idOf: (job: JobRecord) => string
}

/** The work behind the phases of a `Lifecycle`. */
export class Ending implements LifecycleHost {
  readonly clock: Clock
  readonly #parts: EndingParts
  #before = { completed: 0, dead: 0 }

  constructor(parts: EndingParts) {
    this.clock = parts.clock
    this.#parts = parts
  }

  /** The stop begins. */
  begin(): void {
    const { announcer, broker, ended, intake, keepAlive, scheduler } = this.#parts
    // A stop under way keeps the process alive: its report is awaited.
    keepAlive.hold()
    this.#before = { completed: ended.completed, dead: ended.dead }
    // What a durable broker holds can wait for the next start; what memory holds cannot.
    if (broker.durability !== null) scheduler.close()
    announcer.events.emit('runtime:stopping', { pending: intake.pending })
  }

  isDrained(deadline: number): boolean {
    const { broker, intake } = this.#parts
    if (broker.durability !== null) return !this.hasRunning()
    if (intake.pending === 0) return true
    const counts = broker.jobs.counts()
    if (counts instanceof Promise) return false
    const { held, available, running } = counts
    return held + available + running === 0 && broker.jobs.nextDue() > deadline
  }

  /** How many jobs of each task a stop by `deadline` waits for, as far as that can be told at once. */
  waitedFor(deadline: number): Map<string, number> {
    const { broker, pools } = this.#parts
    const jobs =
      broker.durability === null ? null : [...pools.lanes()].flatMap((lane) => [...lane.inFlight.keys()])
    const listed = jobs ?? broker.jobs.list({ state: UNFINISHED_STATES, limit: Number.POSITIVE_INFINITY })
    const names = new Map<string, number>()
    if (listed instanceof Promise) return names
    for (const { extras, entry } of listed.toReversed()) {
      const { name } = entry.task
      if ((extras?.dueAt ?? 0) <= deadline) names.set(name, (names.get(name) ?? 0) + 1)
    }
    return names
  }

  hasRunning(): boolean {
    return this.#parts.pools.isBusy
  }

  killGrace(): number {
    let longest = this.#parts.killGrace
    for (const lane of this.#parts.pools.lanes()) {
      for (const { entry } of lane.inFlight.keys())
        longest = Math.max(longest, entry.task.policy.killGrace ?? 0)
    }
    return longest
  }

  abortRunning(): void {
    const { outcomes, pools, scheduler, watch } = this.#parts
    scheduler.close()
    outcomes.close()
    pools.hurry()
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

  async finish(): Promise<StopReport> {
    const { announcer, broker, ended, holds, idOf, keepAlive, pools, scheduler, watch } = this.#parts
    scheduler.close()
    await pools.stop()
    watch.close()
    holds.close()
    const unfinished = await this.#unfinished()
    const named = unfinished.map((job) => ({ id: idOf(job), name: job.entry.task.name }))
    if (broker.durability === null) {
      for (const job of unfinished) {
        const error = new JobLostError(job.entry.task.name)
        broker.attempts.finish(job, { state: 'cancelled', reason: 'lost', error })
      }
    }
    await broker.close()
    keepAlive.close()
    const report: StopReport = {
      completed: ended.completed - this.#before.completed,
      failed: ended.dead - this.#before.dead,
      lost: broker.durability === null ? named : [],
      left: broker.durability === null ? [] : named,
    }
    const { lost, left } = report
    announcer.events.emit('runtime:stopped', { ...report, lost: lost.length, left: left.length })
    return report
  }

  /** In the order accepted. Also where the broker cannot be asked any more, the threads have to end. */
  async #unfinished(): Promise<readonly JobRecord[]> {
    const { broker } = this.#parts
    if (broker.durability === null)
      return (
        await broker.jobs.list({ state: UNFINISHED_STATES, limit: Number.POSITIVE_INFINITY })
      ).toReversed()
    // A store that is away keeps what it has, and cannot say what that is.
    if (broker.cluster?.stats()?.state === 'down') return []
    const noAnswer = Promise.withResolvers<readonly JobRecord[]>()
    const stopTimer = this.clock.timer(LONGEST_QUESTION, () => noAnswer.resolve([]))
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
