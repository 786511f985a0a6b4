/**
 * The event loop's side of the journal. The journal decides when a job may run and grants it; this side holds what is
 * granted, hands it to threads, sends what becomes of it, and tells of an end once it is written.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import { OP, TWIN } from '../../rules/journal-protocol.ts'
import type { KeptLine, KeptLog } from '../../rules/log-lines.ts'
import { Moved } from '../../rules/moved.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { isStranger } from '../../rules/stranger.ts'
import type { AttemptInfo, JobState, LogLimits } from '../../words/job.ts'
import { expiry, hasWaitedTooLong, isLimited } from '../lifecycle/queue-timeouts.ts'
import type { Attempt, Ending } from '../port/attempt.ts'
import type {
  AttemptSink,
  Broker,
  BrokerStats,
  Cluster,
  Durability,
  IntakeBroker,
  JobChanges,
  JobDirectory,
  JobFilter,
  ReadyJobs,
} from '../port/broker.ts'
import type { BrokerHost } from '../port/host.ts'
import type { Found, JobSearch } from '../port/search.ts'
import type { TaskTally } from '../port/tally.ts'
import { Changes } from './changes.ts'
import { Connection } from './connection.ts'
import { DueTimer } from './due-timer.ts'
import { JobsHere } from './jobs-here.ts'
import { JournalClock } from './journal-clock.ts'
import type { JournalLink } from './link.ts'
import { Lookups } from './lookups.ts'
import { addOp, attemptOp, cancelOp, retryOp } from './operations.ts'
import type { Outbox, Outgoing } from './outbox.ts'
import { Replies } from './replies.ts'
import { JournalSchedules } from './schedules.ts'
import { type SqliteSettings, setupOf } from './settings.ts'

// A commit may take so long: a job that is to start at once gets its chance.
const COMMIT = 50

/** The broker of `aftertask/sqlite`. */
export class SqliteBroker
  implements Broker, IntakeBroker, ReadyJobs, AttemptSink, JobDirectory, Durability, Cluster
{
  readonly intake: IntakeBroker = this
  readonly ready: ReadyJobs = this
  readonly attempts: AttemptSink = this
  readonly jobs: JobDirectory = this
  readonly changes: JobChanges = { change: (job, change) => this.#changes.change(job, change) }
  readonly durability: Durability = this
  readonly cluster: Cluster | null
  readonly storesPayloads = true
  readonly refills = false
  readonly holdsTasks = true
  readonly keepsHistory = true
  readonly ownsKeys: boolean
  readonly schedules: JournalSchedules
  readonly #settings: SqliteSettings
  readonly #link: JournalLink
  #host!: BrokerHost
  #connection!: Connection
  #outbox!: Outbox
  #here!: JobsHere
  #lookups!: Lookups
  #timer!: DueTimer
  #changes!: Changes

  constructor(settings: SqliteSettings, link: JournalLink) {
    this.#settings = settings
    this.ownsKeys = !settings.isShared
    this.cluster = settings.isShared ? this : null
    this.#link = link
    this.schedules = new JournalSchedules(
      () => this.#connection,
      () => this.#host.clock,
      settings.isShared,
    )
  }

  open(host: BrokerHost): Promise<void> {
    this.#host = host
    const { isShared } = this.#settings
    const clock = new JournalClock(host.clock, isShared)
    const connection = new Connection(this.#link, clock, {
      setup: (before) => {
        const window = [...this.#here.records.window.keys()]
        const passed = connection.outbox.passed.all
        const resume = before && { run: before.run, identity: before.identity, window, passed }
        return setupOf(this.#settings, host, clock.wall(), resume, connection.hurry)
      },
      opened: (opened, isFirst) => replies.opened(opened, isFirst),
      committed: (reply) => {
        replies.committed(reply)
        if (reply.haveSchedulesChanged === true) this.schedules.heard()
      },
      abandoned: (outgoing, error) => replies.abandoned(outgoing, error),
      changed: (fault, downFor) => host.connectionChanged(fault, downFor),
      taken: () => this.#here.loseAll(),
    })
    this.#connection = connection
    this.#outbox = connection.outbox
    this.#here = new JobsHere(host, clock, connection.outbox, isShared)
    this.#lookups = new Lookups(host, connection, this.#here, isShared)
    this.#timer = new DueTimer(clock, () => void this.#next.ops.push(OP.tick))
    this.#changes = new Changes(this.#here, connection.outbox)
    const waits = { timer: this.#timer, changes: this.#changes }
    const replies = new Replies(host, clock, connection, this.#here, waits, isShared)
    return connection.open()
  }

  async close(most = Number.POSITIVE_INFINITY): Promise<void> {
    this.#timer.close()
    this.#here.unique.close()
    this.#here.progress.writeAll()
    this.#here.logs.writeAll()
    if (this.#connection.isGone) await this.#lookups.loseAll()
    await this.#connection.close(most)
    this.#changes.close()
  }

  refusal(): Error | undefined {
    return this.#connection.refusal()
  }

  add(job: JobRecord, after: JobRecord | null): void {
    // The file holds a copy; what was to be moved is encoded instead, and the job may be tried again.
    if (job.payload instanceof Moved) job.payload = job.payload.plain('payload')
    const { extras, batch } = job
    if (extras?.uniqueKey !== undefined) this.#hold(extras.uniqueKey, job)
    const { clock } = this.#host
    if (batch !== null && batch.facts === null) job.state = 'held'
    else if (after !== null) job.state = 'waiting'
    else if (extras?.dueAt !== undefined && extras.dueAt > clock.now()) job.state = 'scheduled'
    const next = this.#next
    addOp(next.ops, job, after, this.#here.wall)
    next.arrivals.push(job)
    this.#here.adding.add(job)
    this.#here.expect(job)
    this.#here.records.kept.set(job.seq, job)
  }

  /** Whoever held the key until it started still has it in the file. */
  #hold(uniqueKey: string, job: JobRecord): void {
    const { unique } = this.#here
    const former = unique.formerHolder(uniqueKey)
    if (former !== undefined) this.#next.ops.push(OP.uniqueKey, former.seq, null)
    unique.hold(uniqueKey, job)
  }

  takeKey(job: JobRecord): void {
    const { uniqueKey } = job.more
    if (uniqueKey === undefined) return
    this.#hold(uniqueKey, job)
    this.#next.ops.push(OP.uniqueKey, job.seq, uniqueKey)
  }

  async stored(job: JobRecord): Promise<void> {
    const { extras } = job
    if (extras?.storing !== undefined) return extras.storing.promise
    if (extras?.reason === 'lost') throw extras.errors?.at(-1)
    if (!this.#here.adding.has(job)) return undefined
    const storing = Promise.withResolvers<void>()
    job.more.storing = storing
    return storing.promise
  }

  release(job: JobRecord): void {
    if (job.state !== 'held') return this.#here.records.responseIsOver(job)
    const { dueAt } = job.extras ?? {}
    job.state = dueAt !== undefined && dueAt > this.#host.clock.now() ? 'scheduled' : 'available'
    this.#next.ops.push(OP.release, job.seq, dueAt === undefined ? null : this.#here.wall(dueAt))
    this.#here.release(job)
  }

  detach(job: JobRecord): void {
    this.#next.ops.push(OP.detach, job.seq)
  }

  peek(pool: string): JobRecord | undefined {
    const { ready } = this.#here
    let job = ready.peek(pool)
    // The journal tells whose time is over; not in time while its disk refuses, or its thread is being replaced.
    for (; job !== undefined && this.#isLate(job); job = ready.peek(pool)) this.finish(job, expiry(job))
    return job
  }

  claim(pool: string): JobRecord | undefined {
    return this.peek(pool) && this.#here.ready.claim(pool)
  }

  #isLate(job: JobRecord): boolean {
    return isLimited(job) && hasWaitedTooLong(job, this.#host.clock.now() - COMMIT)
  }

  hold(task: TaskEntry, isHeld: boolean): void {
    this.#here.ready.hold(task, isHeld)
  }

  sent(jobs: readonly JobRecord[], thread: number): void {
    const now = this.#host.clock.now()
    for (const job of jobs) {
      const { more } = job
      more.thread = thread
      more.sentAt = now
    }
    const [first] = jobs
    // Of jobs that travel together nobody could say which one ran; they become suspects if the process dies.
    if (jobs.length === 1 && first !== undefined && first.extras?.isMarked !== true) {
      first.more.isMarked = true
      this.#next.ops.push(OP.mark, first.seq, first.attempts)
    }
  }

  log(job: JobRecord, line: KeptLine, limits: LogLimits): void {
    this.#here.logs.add(job, line, limits)
  }

  logs(job: JobRecord): Promise<KeptLog> {
    return this.#lookups.logs(job)
  }

  progress(job: JobRecord): void {
    this.#here.progress.told(job)
  }

  putBack(job: JobRecord, attempt: Attempt | null): void {
    this.#here.logs.write(job)
    if (this.#here.wasLost(job)) return this.#here.leaveLost(job)
    if (attempt !== null) attemptOp(this.#next.ops, job, attempt, this.#here.wall)
    else if (hasWaitedTooLong(job, this.#host.clock.now())) return this.finish(job, expiry(job))
    this.#here.leaveRunning(job)
    job.state = 'available'
    const { extras } = job
    if (extras?.isMarked === true && extras.isSuspect !== true) {
      extras.isMarked = false
      this.#next.ops.push(OP.unmark, job.seq, job.attempts)
    }
    this.#here.ready.putBack(job)
    this.#host.wake(job.entry.task.policy.pool)
  }

  retry(job: JobRecord, dueAt: number, attempt: Attempt): void {
    this.#here.logs.write(job)
    if (this.#here.wasLost(job)) return this.#here.leaveLost(job, 'retryable')
    attemptOp(this.#next.ops, job, attempt, this.#here.wall)
    this.#here.leaveRunning(job)
    this.#here.leaveWindow(job)
    job.state = 'retryable'
    job.more.isMarked = false
    this.#here.progress.write(job)
    retryOp(this.#next.ops, job, dueAt, this.#here.wall)
    this.#here.leaveToOthers(job)
    this.#letGoOnceWritten(job)
  }

  finish(job: JobRecord, ending: Ending): void {
    this.#here.finish(job, ending)
  }

  /** Every process that has the file runs every pool. */
  runs(): boolean {
    return true
  }

  stats(): BrokerStats {
    const state = this.#connection.isDown ? 'down' : 'up'
    return { state, buffered: this.#here.adding.size, fenced: this.#here.fenced }
  }

  paused(pool: string, isPaused: boolean): void {
    this.#here.pause(pool, isPaused)
  }

  /** Whoever asks for the job next finds it as the file then has it: a question goes after what was written before it. */
  cancelRemote(job: JobRecord, reason: unknown): Promise<void> | false {
    if (this.#here.isHere(job)) return false
    cancelOp(this.#next.ops, job.seq, reason)
    return Promise.resolve()
  }

  async revive(job: JobRecord): Promise<void> {
    if (job.state !== 'dead') return
    const written = Promise.withResolvers<void>()
    this.#next.revivals.push(written)
    this.#startOver(job)
    await written.promise
  }

  #startOver(job: JobRecord): void {
    const isHeld = job.batch !== null && job.batch.facts === null
    const { dueAt = 0, reason } = job.more
    job.state = isHeld ? 'held' : dueAt > this.#host.clock.now() ? 'scheduled' : 'available'
    job.failures = 0
    job.crashes = 0
    // It has made none of the attempts of the job that it was equal to.
    if (reason === TWIN) job.attempts = 0
    job.more.isSuspect = false
    job.more.isMarked = false
    this.#next.ops.push(OP.revive, job.seq, isHeld ? 1 : 0)
    // It waits in the file for a process that has its task, and nothing here waits for it.
    if (isStranger(job.entry)) {
      this.#host.freed(job.bytes)
      return this.#host.pendingChanged(-1)
    }
    this.#here.records.revived.add(job.seq)
    this.#here.expect(job)
    this.#here.leaveToOthers(job)
    if (isHeld) this.#here.records.keep(job)
    else this.#letGoOnceWritten(job)
    const { uniqueKey } = job.more
    if (uniqueKey !== undefined) this.#here.unique.hold(uniqueKey, job)
  }

  pin(job: JobRecord): void {
    // A run that was lost is told by whoever has the job's record then.
    if (!this.#here.wasLost(job)) this.#here.records.keep(job)
  }

  current(job: JobRecord): JobRecord {
    return this.#lookups.current(job)
  }

  holderOf(uniqueKey: string): JobRecord | undefined {
    return this.#here.unique.holder(uniqueKey)
  }

  get(seq: number): JobRecord | undefined {
    return this.#lookups.get(seq)
  }

  find(id: string): Promise<JobRecord | undefined> {
    return this.#lookups.find(id)
  }

  list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.#lookups.list(filter)
  }

  search(search: JobSearch): Promise<Found> {
    return this.#lookups.search(search)
  }

  tally(): Promise<readonly TaskTally[]> {
    return this.#lookups.tally()
  }

  counts(): Promise<Record<JobState, number>> {
    return this.#lookups.counts()
  }

  history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    return this.#lookups.history(job)
  }

  remove(job: JobRecord): Promise<boolean> {
    return this.#lookups.remove(job)
  }

  /** The file keeps dead jobs, and is asked when one is revived. */
  isKept(): boolean {
    return true
  }

  nextDue(): number {
    return this.#timer.next
  }

  /** Then it is granted or waits on disk. Until then the file does not know, and whoever asks for the job finds it here. */
  #letGoOnceWritten(job: JobRecord): void {
    this.#here.records.keep(job)
    this.#here.release(job)
  }

  get #next(): Outgoing {
    return this.#outbox.next
  }
}
