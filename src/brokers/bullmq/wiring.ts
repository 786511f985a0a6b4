/** The parts of the broker, each made out of those below it. */
import type { JobRecord } from '../../rules/job-record.ts'
import { ProgressWriter } from '../lifecycle/progress-writer.ts'
import { Retries } from '../lifecycle/retries.ts'
import type { BrokerHost } from '../port/host.ts'
import { Asking } from './asking.ts'
import { Availability } from './availability.ts'
import { Consumer, type ConsumerHost } from './consumer/consumer.ts'
import { type LocalEvents, LocalJobs } from './local/local-jobs.ts'
import { Producer } from './local/producer.ts'
import { RemoteJobs } from './local/remote-jobs.ts'
import { type SettlementEvents, Settlements } from './local/settlements.ts'
import type { BrokerSettings } from './options.ts'
import { ClusterSchedules } from './store/cluster-schedules.ts'
import { HealthCheck, type HealthEvents } from './store/health-check.ts'
import { Records } from './store/job-data.ts'
import { isRefusal } from './store/refusals.ts'
import type { SharedStore } from './store/shared-store.ts'
import { StoreClock } from './store/store-clock.ts'

/** What the parts tell the broker. */
export interface PartEvents extends LocalEvents, HealthEvents, ConsumerHost, SettlementEvents {
  /** The progress of a job that runs here is to be written. */
  writeProgress(job: JobRecord): void
}

/** All parts of a broker that is about to be opened. */
export class Parts {
  readonly store: SharedStore
  readonly engine: BrokerHost
  /** Milliseconds after which a job that waits for another is looked at again by itself. */
  readonly recheck: number
  readonly retries: Retries
  /** The store's time, by which everything goes that several processes read. */
  readonly time: StoreClock
  readonly records: Records
  readonly health: HealthCheck
  readonly consumer: Consumer
  readonly local: LocalJobs
  readonly producer: Producer
  readonly settlements: Settlements
  readonly remote: RemoteJobs
  readonly availability: Availability
  readonly asking: Asking
  readonly schedules: ClusterSchedules
  readonly progress: ProgressWriter

  constructor(settings: BrokerSettings, store: SharedStore, engine: BrokerHost, events: PartEvents) {
    const { clock, idPrefix } = engine
    this.store = store
    this.engine = engine
    this.recheck = Math.min(5000, Math.max(250, Math.round(settings.lease / 6)))
    const recheck = this.recheck
    const retries = new Retries(clock, isRefusal)
    this.retries = retries
    const time = new StoreClock(clock)
    this.time = time
    const records = new Records({ clock: time, entries: engine.entries })
    this.records = records
    const health = new HealthCheck(clock, settings, store, events)
    this.health = health
    retries.watch = health
    this.consumer = new Consumer({ store, retries, settings, health, engine, time, records, recheck }, events)
    const local = new LocalJobs(engine, this.consumer.leases, events)
    this.local = local
    this.producer = new Producer({ store, retries, clock: time, local })
    this.settlements = new Settlements(store, local, records, clock, idPrefix, events)
    this.remote = new RemoteJobs(store, retries, clock, this.settlements)
    this.availability = new Availability(engine, settings, this.producer)
    this.asking = new Asking(clock, settings.patience, this.availability, store)
    this.schedules = new ClusterSchedules(store, retries, time, idPrefix, (question) =>
      this.asking.ask(question),
    )
    this.progress = new ProgressWriter(clock, events.writeProgress.bind(events), { writesFirst: true })
  }
}
