/** The engine as its broker sees it. */
import type { BrokerHost } from '../brokers/port/host.ts'
import type { JobRecord } from '../rules/job-record.ts'
import type { TaskEntry } from '../rules/registry.ts'
import type { Clock } from '../words/clock.ts'
import { LeaseLostError } from '../words/errors.ts'
import type { JobState } from '../words/job.ts'
import type { Announcer } from './announcer.ts'
import { keptEndOf } from './job.ts'
import type { JobControl } from './job-control.ts'
import { letGo } from './let-go.ts'
import type { Metrics } from './metrics.ts'
import type { Outcomes } from './outcomes.ts'
import type { Pending } from './pending.ts'
import type { PoolSet } from './pool-set.ts'
import type { Rate } from './rate.ts'
import type { Scheduler } from './scheduler.ts'
import type { SharedJobs } from './shared-jobs.ts'
import type { Stopping } from './stopping.ts'
import type { Watch } from './watch.ts'

/** Whom the reports of a broker concern. */
export interface HostParts {
  readonly announcer: Announcer
  readonly clock: Clock
  readonly entries: readonly TaskEntry[]
  readonly idPrefix: string
  readonly jobs: JobControl
  readonly metrics: Metrics
  readonly outcomes: Outcomes
  readonly pending: Pending
  readonly pools: PoolSet
  readonly priorityAgeing: number
  readonly rate: Rate
  readonly retention: BrokerHost['retention']
  readonly scheduler: Scheduler
  readonly shared: SharedJobs
  readonly stopping: Stopping
  readonly watch: Watch
  readonly warn: (line: string) => void
}

/** Passes on what a broker reports. */
export class EngineHost implements BrokerHost {
  readonly clock: Clock
  readonly ageing: number
  readonly retention: BrokerHost['retention']
  readonly entries: readonly TaskEntry[]
  readonly idPrefix: string
  readonly #parts: HostParts

  constructor(parts: HostParts) {
    this.#parts = parts
    this.clock = parts.clock
    this.ageing = parts.priorityAgeing
    this.retention = parts.retention
    this.entries = parts.entries
    this.idPrefix = parts.idPrefix
  }

  warn(line: string): void {
    this.#parts.warn(line)
  }

  slots(pool: string): number {
    return this.#parts.pools.slots(pool)
  }

  wake(pool: string): void {
    this.#parts.scheduler.wake(pool)
  }

  settled(job: JobRecord, ran: number): void {
    const { announcer, metrics, pending, rate, shared, stopping } = this.#parts
    rate.add(job.readyAt)
    const { extras, batch } = job
    const end = extras?.reason === 'lost' ? 'lost' : (job.state as 'completed')
    metrics.ended(job, end)
    if (end === 'lost') stopping.lose(job)
    if (extras !== null) shared.over(job, extras)
    pending.done(job.bytes)
    announcer.settled(job, ran)
    if (batch !== null || extras !== null) letGo(job)
    stopping.look()
  }

  settledLate(job: JobRecord): void {
    job.extras?.settle?.resolve(keptEndOf(job))
    letGo(job)
  }

  pendingChanged(jobs: number): void {
    this.#parts.pending.add(jobs)
  }

  freed(bytes: number): void {
    this.#parts.pending.freed(bytes)
  }

  connectionChanged(fault: Error | undefined, downFor: number): void {
    this.#parts.announcer.reached(fault, downFor)
  }

  leaseLost(job: JobRecord): void {
    const { outcomes, pools, watch } = this.#parts
    const lane = pools.laneOf(job)
    if (lane === undefined) return
    const error = new LeaseLostError(job.entry.task.name)
    if (lane.revoke(job)) outcomes.notStarted(job)
    else watch.end(lane, job, 'lease', error, error.message)
  }

  fenced(job: JobRecord, state: JobState): void {
    this.#parts.announcer.fenced(job, state, new LeaseLostError(job.entry.task.name))
  }

  cancel(job: JobRecord, reason: unknown): boolean {
    return this.#parts.jobs.cancel(job, reason)
  }
}
