/** Makes the parts of the broker, each out of those below it. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { ProgressWriter } from '../lifecycle/progress-writer.ts'
import { Retries } from '../lifecycle/retries.ts'
import type { BrokerHost } from '../port/host.ts'
import { Availability } from './availability.ts'
import { Consumer, type ConsumerHost } from './consumer/consumer.ts'
import { type LocalEvents, LocalJobs } from './local/local-jobs.ts'
import { Producer } from './local/producer.ts'
import { RemoteJobs } from './local/remote-jobs.ts'
import { Settlements } from './local/settlements.ts'
import type { BrokerSettings } from './options.ts'
import { queueOf } from './queues.ts'
import { ClusterSchedules } from './store/cluster-schedules.ts'
import { HealthCheck, type HealthEvents } from './store/health-check.ts'
import { isRefusal } from './store/refusals.ts'
import type { SharedStore } from './store/shared-store.ts'

/** What the parts tell the broker. */
export interface PartEvents extends LocalEvents, HealthEvents, Pick<ConsumerHost, 'accepted' | 'ended'> {
  /** A job of ours ended in another process. */
  endedElsewhere(job: JobRecord, id: string): void
  /** The progress of a job that runs here is to be written. */
  writeProgress(job: JobRecord): void
}

/** All parts. */
export interface Parts {
  readonly engine: BrokerHost
  readonly store: SharedStore
  readonly retries: Retries
  readonly consumer: Consumer
  readonly local: LocalJobs
  readonly producer: Producer
  readonly settlements: Settlements
  readonly remote: RemoteJobs
  readonly availability: Availability
  readonly health: HealthCheck
  readonly schedules: ClusterSchedules
  readonly progress: ProgressWriter
  entryOf(name: string): TaskEntry | undefined
  queueOf(job: JobRecord): string
  /** A number for a record that is not from here. */
  foreignSeq(): number
}

/** Milliseconds after which a job that waits for another is looked at again by itself. */
export function recheckOf({ lease }: BrokerSettings): number {
  return Math.min(5000, Math.max(250, Math.round(lease / 6)))
}

/** Makes the parts of a broker that is about to be opened. */
export function wire(
  settings: BrokerSettings,
  store: SharedStore,
  engine: BrokerHost,
  events: PartEvents,
): Parts {
  const { clock } = engine
  const entries = new Map(engine.entries.map((entry) => [entry.task.name, entry]))
  const entryOf = (name: string): TaskEntry | undefined => entries.get(name)
  let foreign = 0
  const foreignSeq = (): number => --foreign
  const recheck = recheckOf(settings)
  const retries = new Retries(clock, isRefusal)
  const health = new HealthCheck(clock, settings, store, events)
  const consumer: Consumer = new Consumer(
    { store, retries, settings, health, engine, recheck },
    {
      entryOf,
      foreignSeq,
      accepted: (id) => events.accepted(id),
      ended: (lease) => events.ended(lease),
      lineOf: (job) => local.lineOf(job),
    },
  )
  const local = new LocalJobs(engine, consumer.leases, events)
  const producer = new Producer({ store, retries, clock, local })
  const settlements = new Settlements(store, local, clock, engine.idPrefix, (job, id) =>
    events.endedElsewhere(job, id),
  )
  return {
    ...{ engine, store, retries, health, consumer, local, producer, settlements, entryOf, foreignSeq },
    queueOf: ({ entry }) => queueOf(entry),
    remote: new RemoteJobs(store, retries, clock, settlements),
    availability: new Availability(engine, settings, () => producer.size),
    schedules: new ClusterSchedules(store, retries, clock, engine.idPrefix),
    progress: new ProgressWriter(clock, (job) => events.writeProgress(job), { writesFirst: true }),
  }
}
