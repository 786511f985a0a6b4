/** The engine of one runtime: its parts by name. `assemble` makes them; the runtime and the edges use them. */
import type { Broker } from '../brokers/port/broker.ts'
import type { BrokerHost } from '../brokers/port/host.ts'
import type { Registry } from '../rules/registry.ts'
import type { ReadRuntimeOptions } from '../rules/runtime-schemas.ts'
import type { Clock } from '../words/clock.ts'
import type { Announcer } from './announcer.ts'
import type { CrashHolds } from './crash-holds.ts'
import type { JobIds } from './ids.ts'
import type { Intake } from './intake.ts'
import type { JobControl } from './job-control.ts'
import type { Limits } from './limits.ts'
import type { Metrics } from './metrics.ts'
import type { Pending } from './pending.ts'
import type { PoolSet } from './pool-set.ts'
import type { Rate } from './rate.ts'
import type { Redaction } from './redaction.ts'
import type { Reloads } from './reloads.ts'
import type { Responses } from './responses.ts'
import type { Scheduler } from './scheduler.ts'
import type { Schedules } from './schedules.ts'
import type { Stopping } from './stopping.ts'

/** The parts that are used from outside of the engine, in the order in which a job meets them. */
export interface Engine {
  readonly options: ReadRuntimeOptions
  readonly clock: Clock
  /** When the runtime was created, in milliseconds since 1970. */
  readonly startedAt: number
  readonly ids: JobIds
  /** The tasks. */
  readonly registry: Registry
  /** Takes jobs in. */
  readonly intake: Intake
  /** Releases the jobs of a request once its response is over. */
  readonly responses: Responses
  /** Replaces the threads. */
  readonly reloads: Reloads
  readonly broker: Broker
  /** What the broker reports to. */
  readonly host: BrokerHost
  /** Resolves when the broker can be used. */
  readonly opened: Promise<void>
  /** Sends jobs to threads. */
  readonly scheduler: Scheduler
  /** Holds back tasks that keep ending threads. */
  readonly holds: CrashHolds
  readonly pools: PoolSet
  /** Emits events. */
  readonly announcer: Announcer
  /** Finds, cancels and revives jobs. */
  readonly jobs: JobControl
  /** Counts what happens. */
  readonly metrics: Metrics
  /** What attempts may take. */
  readonly limits: Limits
  readonly pending: Pending
  readonly rate: Rate
  /** Hides what is secret in what is shown of jobs. */
  readonly redaction: Redaction
  readonly schedules: Schedules
  readonly stopping: Stopping
}
