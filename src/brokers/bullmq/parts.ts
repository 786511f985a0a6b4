/** The parts of the broker, and what each is told of the others. */
import type { JobRecord } from '../../rules/job-record.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import type { BrokerHost } from '../broker.ts'
import { ProgressWriter } from '../progress-writer.ts'
import { Accepted } from './accepted.ts'
import { BatchLines } from './batch-lines.ts'
import { ClusterSchedules } from './cluster-schedules.ts'
import { Contact } from './contact.ts'
import { Elsewhere } from './elsewhere.ts'
import { EndedJobs } from './ended-jobs.ts'
import { Held } from './held.ts'
import { Writes } from './insist.ts'
import { Lines } from './lines.ts'
import { Lookups } from './lookups.ts'
import type { BullmqSettings } from './options.ts'
import { Outbox } from './outbox.ts'
import { OwnJobs } from './own-jobs.ts'
import { Questions } from './questions.ts'
import { type QueueOfTasks, queueOf, queuesOf } from './queues.ts'
import { Reach } from './reach.ts'
import type { Store } from './store.ts'
import { toProgress } from './stored-job.ts'
import { Work } from './work.ts'

/** What the parts ask of the broker. */
export interface Whole {
  /** A job has waited for too long. */
  expired(job: JobRecord): void
  /** The store answers again. */
  up(): void
  /** Resolves once the store can be asked, and has what was on its way. */
  written(): Promise<void>
}

/** All parts. */
export interface Parts {
  readonly queues: readonly QueueOfTasks[]
  readonly writes: Writes
  readonly lines: Lines
  readonly batchLines: BatchLines
  readonly own: OwnJobs
  readonly accepted: Accepted
  readonly held: Held
  readonly outbox: Outbox
  readonly work: Work
  readonly elsewhere: Elsewhere
  readonly lookups: Lookups
  readonly ended: EndedJobs
  readonly questions: Questions
  readonly reach: Reach
  readonly contact: Contact
  readonly schedules: ClusterSchedules
  readonly progress: ProgressWriter
  /** The job lies in the store, and is not with this process. */
  isAway(job: JobRecord): boolean
}

/** Makes the parts of a broker that is about to be opened. */
export function makeParts(settings: BullmqSettings, store: Store, host: BrokerHost, whole: Whole): Parts {
  const { clock } = host
  const byName = new Map<string, TaskEntry>(host.entries.map((entry) => [entry.task.name, entry]))
  const recheck = Math.min(5000, Math.max(250, Math.round(settings.lease / 6)))
  const queues = queuesOf(host.entries)
  const writes = new Writes()
  const lines = new Lines(store)
  const ended = new EndedJobs(store, host.retention.age)
  const batchLines = new BatchLines(lines, writes)
  let foreign = 0
  const own: OwnJobs = new OwnJobs(host, batchLines, {
    isLeased: (job) => work.leases.byJob.has(job),
    expired: (job) => whole.expired(job),
    arrived: (job) => held.arrived(job),
  })
  const basics = {
    clock,
    idOf: (job: JobRecord): string => own.idOf(job),
    queueOf: (job: JobRecord): string => queueOf(job.entry),
    lineOf: (job: JobRecord): string | undefined => batchLines.of(job),
    entryOf: (name: string): TaskEntry | undefined => byName.get(name),
    foreignSeq: (): number => --foreign,
    isAway: (job: JobRecord): boolean =>
      own.isStored(job) && !own.isReviving(job) && !work.leases.byJob.has(job) && !held.has(job),
  }
  const lookups = new Lookups(store, queues, ended, basics)
  const outbox = new Outbox(
    store,
    { ...basics, arrived: (job, isDuplicate) => own.arrived(job, isDuplicate) },
    recheck,
  )
  const held: Held = new Held(store, writes, lines, recheck, basics)
  const accepted: Accepted = new Accepted(store, lookups, host.idPrefix, own.byId, {
    ...basics,
    arrived: (job) => own.arrived(job, false),
    ended: (job, id) => {
      // Whoever ended it may not have known that it stands in a line.
      batchLines.leave(job, id, job.state === 'dead' && job.batch?.onFailure === 'stop')
      own.over(job, id)
    },
  })
  const elsewhere = new Elsewhere(
    { store, writes, lines, ended, lookups },
    {
      clock,
      found: (id, found) => {
        const job = own.byId.get(id)
        if (job !== undefined && found !== undefined) accepted.take(job, id, found)
      },
      tell: (id, state, attempts, reviver) => accepted.tell(id, state, attempts, undefined, reviver),
    },
  )
  const reach = new Reach(host, settings, () => outbox.size)
  const contact = new Contact(clock, settings, store, {
    silent: (fault) => reach.down(fault),
    answers: () => whole.up(),
  })
  const work: Work = new Work(
    { store, writes, lines, ended, settings, contact, recheck },
    {
      ...basics,
      host,
      accepted: (id) => {
        const job = own.byId.get(id)
        // It can come back before the answer to its being written does.
        if (job !== undefined) own.arrived(job, false)
        return job
      },
      ended: (job, id, { by }) => {
        const value = job.state === 'completed' ? job.result : undefined
        accepted.tell(id, job.state, job.attempts, value, by)
        own.over(job, id)
      },
    },
  )
  const questions = new Questions(
    { lookups, accepted, work, endedHere: own.endedHere },
    {
      written: () => whole.written(),
      isStored: (job) => own.isStored(job),
    },
  )
  const schedules = new ClusterSchedules(store, writes, clock)
  const writeProgress = (job: JobRecord): void => {
    const lease = work.leases.byJob.get(job)
    if (lease === undefined) return
    const progress = toProgress(job.extras?.progress)
    lease.feed.backend.updateProgress(lease.id, progress as object).catch(() => {})
    accepted.tell(lease.id, 'progress', job.attempts, JSON.stringify(progress))
  }
  const progress = new ProgressWriter(clock, writeProgress, { writesFirst: true })
  const { isAway } = basics
  return {
    ...{ queues, writes, lines, batchLines, own, accepted, held, outbox, work, elsewhere, lookups, ended },
    ...{ questions, reach, contact, schedules, progress, isAway },
  }
}
