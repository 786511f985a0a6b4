/**
 * The event loop's side of the journal. The journal decides when a job may run and grants it; this side holds what is
 * granted, hands it to threads, sends what becomes of it, and tells of an end once it is written.
 */
// long because: what the engine says and what the journal says change the same few maps, often for one job in one turn.
import { encode } from '../../rules/codec.ts'
import { type JobRecord, Moved } from '../../rules/job-record.ts'
import {
  COMPLETED,
  FROM_JOURNAL,
  type JournalFault,
  type JournalSetup,
  OP,
  type Opened,
  type Questions,
  type Reply,
  type Row,
  STATES,
  TO_JOURNAL,
} from '../../rules/journal-protocol.ts'
import { BrokerUnavailableError, QueueTimeoutError } from '../../words/errors.ts'
import { type AttemptInfo, isTerminal, type JobState } from '../../words/job.ts'
import type { Attempted, Broker, BrokerHost, Ended, JobFilter, ScheduleStore } from '../broker.ts'
import { UniqueKeys } from '../unique-keys.ts'
import { DueTimer } from './due-timer.ts'
import { errorOfFault, passingError, threadError } from './faults.ts'
import { attemptInfoOf } from './history.ts'
import type { JournalLink } from './link.ts'
import { addOp, attemptOp, encodedResult, finishOp, retryOp } from './operations.ts'
import { Outbox } from './outbox.ts'
import { Questioner } from './questioner.ts'
import { ReadyJobs } from './ready-jobs.ts'
import { Records } from './records.ts'
import { Suspects } from './suspects.ts'

/** What `sqliteBroker` was given, with every default filled in but those that the runtime decides. */
export interface SqliteSettings {
  readonly file: string
  readonly durability: 'power' | 'process'
  readonly isShared: boolean
  readonly window: number
  readonly retention: {
    readonly count?: number | undefined
    readonly age?: number | undefined
    readonly dead: number
  }
  /** Operations between checkpoints. */
  readonly checkpointEvery?: number
  /** How long a transaction waits for another process, in milliseconds. */
  readonly patience?: number
  readonly maxPages?: number
  readonly failAt?: JournalSetup['failAt']
}

// About 16 MB of the log that is written ahead; reading it at the next start costs a tenth of a second.
const CHECKPOINT_EVERY = 50_000
const PATIENCE = 10_000
// After a fault that has not stopped everything, the next job is let through to see whether it has passed.
const PROBE_AFTER = 1000
// A thread that dies is started again, ever more slowly when it keeps dying.
const FIRST_WAIT = 20
const LONGEST_WAIT = 10_000

/** The broker of `aftertask/sqlite`. */
export class SqliteBroker implements Broker {
  readonly durable = true
  readonly schedules: ScheduleStore = {
    load: () => this.#ask('schedules', null),
    put: ({ id, definition, nextAt }) =>
      void this.#outbox.next.ops.push(OP.putSchedule, id, definition, nextAt),
    remove: (id) => void this.#outbox.next.ops.push(OP.removeSchedule, id),
  }
  readonly #settings: SqliteSettings
  readonly #link: JournalLink
  #host!: BrokerHost
  #records!: Records
  #ready!: ReadyJobs
  #unique!: UniqueKeys
  #outbox!: Outbox
  #questioner!: Questioner
  #suspects!: Suspects
  #timer!: DueTimer
  readonly #opening = Promise.withResolvers<void>()
  #closing: PromiseWithResolvers<void> | undefined
  #phase: 'new' | 'open' | 'restarting' | 'failed' | 'closed' = 'new'
  #run = 0
  #deaths = 0
  #fault: { error: Error; at: number; isStuck: boolean } | undefined
  /** Our own jobs that wait on disk, where another process may run them: only in a shared file. */
  readonly #away = new Set<number>()
  /** Jobs that are not written yet. */
  readonly #adding = new Set<JobRecord>()

  constructor(settings: SqliteSettings, link: JournalLink) {
    this.#settings = settings
    this.#link = link
  }

  // ── Opening and closing ────────────────────────────────────────────────────────────────────────────────────────

  open(host: BrokerHost): Promise<void> {
    if (this.#phase !== 'new')
      throw new BrokerUnavailableError('closed', 'A sqliteBroker serves one runtime, once. Make another.')
    this.#host = host
    const { clock } = host
    const post = (message: readonly unknown[]): void => this.#post(message)
    this.#records = new Records(clock, host.entries)
    this.#ready = new ReadyJobs(host.ageing)
    this.#unique = new UniqueKeys(clock)
    this.#outbox = new Outbox(clock, post)
    this.#questioner = new Questioner(clock, post)
    this.#suspects = new Suspects((job) => this.#mark(job))
    this.#timer = new DueTimer(clock, () => void this.#outbox.next.ops.push(OP.tick))
    this.#link.start(this.#setup(), this)
    return this.#opening.promise
  }

  async close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise
    this.#closing = Promise.withResolvers<void>()
    this.#timer.close()
    if (this.#phase === 'failed' || this.#phase === 'restarting') this.#closed()
    else {
      // What has not been said yet is said now, and the journal closes behind it.
      if (this.#phase === 'new') await this.#opening.promise.catch(() => {})
      this.#outbox.flush(true)
      this.#post([TO_JOURNAL.close, this.#host.clock.wall()])
    }
    await this.#closing.promise
    await this.#link.stop()
  }

  #setup(): JournalSetup {
    const { entries, ageing, retention, idPrefix, clock } = this.#host
    const { file, durability, isShared, window, failAt, checkpointEvery = CHECKPOINT_EVERY } = this.#settings
    const { count = retention.count, age = retention.age, dead } = this.#settings.retention
    const tasks = entries.map(({ task: { name, policy } }) => {
      const { pool, concurrency, onCrash, maxCrashes } = policy
      return { name, pool, concurrency, onCrash, maxCrashes }
    })
    const resume =
      this.#run === 0 ? {} : { resume: { run: this.#run, window: [...this.#records.window.keys()] } }
    const { patience = PATIENCE, maxPages } = this.#settings
    const place = {
      file,
      durability,
      isShared,
      window,
      checkpointEvery,
      patience,
      ...(maxPages && { maxPages }),
    }
    const common = { ...place, tasks, ageing, idPrefix, wall: clock.wall() }
    return { ...common, retention: { count, age, dead }, ...resume, ...(failAt && { failAt }) }
  }

  /** What the journal says. */
  receive(message: readonly unknown[]): void {
    switch (message[0]) {
      case FROM_JOURNAL.opened:
        return this.#opened(message[1] as Opened)
      case FROM_JOURNAL.refused:
        // A file that was open may be so again: the thread ends, and another is started.
        if (this.#phase === 'new') this.#failed(errorOfFault(message[1] as JournalFault))
        return
      case FROM_JOURNAL.committed:
        this.#committed(message[1] as Reply)
        break
      case FROM_JOURNAL.answer:
        this.#questioner.answered(message)
        break
      case FROM_JOURNAL.closed:
        this.#closed()
    }
    this.#link.await(!(this.#outbox.isEmpty && this.#questioner.isIdle) || this.#closing !== undefined)
  }

  /** The journal's thread is gone. */
  ended(cause: Error | undefined): void {
    if (this.#closing !== undefined) return this.#closed()
    if (this.#phase === 'failed') return
    const error = threadError(cause)
    this.#outbox.closed()
    this.#questioner.failAll(error)
    if (this.#phase === 'new') return this.#failed(error)
    this.#phase = 'restarting'
    this.#fault = { error, at: this.#host.clock.now(), isStuck: true }
    const wait = Math.min(FIRST_WAIT * 2 ** this.#deaths++, LONGEST_WAIT)
    this.#host.clock.timer(wait, () => {
      if (this.#phase === 'restarting') this.#link.start(this.#setup(), this)
    })
  }

  #opened({ run, unfinished, unique, reply }: Opened): void {
    const isFirst = this.#phase === 'new'
    this.#phase = 'open'
    this.#run = run
    this.#fault = undefined
    if (isFirst) {
      if (!this.#settings.isShared) this.#host.adopted(unfinished + reply.settled.length)
      for (const row of unique) this.#holdUnique(row)
    }
    this.#committed(reply)
    this.#outbox.opened()
    this.#questioner.opened()
    this.#opening.resolve()
    this.#link.await(!(this.#outbox.isEmpty && this.#questioner.isIdle))
  }

  #holdUnique(row: Row): void {
    const job = this.#records.of(row)
    const uniqueKey = row[13]
    if (job === undefined || uniqueKey === null) return
    this.#unique.hold(uniqueKey, job)
    this.#records.letGo(job)
  }

  #failed(error: Error): void {
    this.#phase = 'failed'
    this.#fault = { error, at: this.#host.clock.now(), isStuck: true }
    this.#outbox.closed()
    this.#questioner.failAll(error)
    this.#abandon(error)
    this.#opening.reject(error)
    this.#link.await(false)
    if (this.#closing !== undefined) this.#closed()
  }

  #closed(): void {
    this.#outbox.closed()
    this.#abandon(new BrokerUnavailableError('closed', 'The journal has closed.'))
    this.#questioner.failAll(new BrokerUnavailableError('closed', 'The journal has closed.'))
    this.#phase = this.#phase === 'failed' ? 'failed' : 'closed'
    this.#closing?.resolve()
  }

  #abandon(error: Error): void {
    for (const { arrivals, endings } of this.#outbox.abandoned()) {
      for (const job of arrivals) this.#refuse(job, error)
      for (const job of endings) this.#tell(job)
    }
  }

  #post(message: readonly unknown[]): void {
    this.#link.await(true)
    this.#link.post(message)
  }

  // ── What the engine says ───────────────────────────────────────────────────────────────────────────────────────

  refusal(): Error | undefined {
    const fault = this.#fault
    if (fault === undefined) return undefined
    return fault.isStuck || this.#host.clock.now() - fault.at < PROBE_AFTER ? fault.error : undefined
  }

  add(job: JobRecord, after: JobRecord | null): void {
    // The file holds a copy; what was to be moved is encoded instead, and the job may be tried again.
    if (job.payload instanceof Moved) job.payload = encode(job.payload.value, 'payload')
    const { extras, batch } = job
    if (extras?.uniqueKey !== undefined) this.#unique.hold(extras.uniqueKey, job)
    const { clock } = this.#host
    if (batch !== null && batch.facts === null) job.state = 'held'
    else if (after !== null) job.state = 'waiting'
    else if (extras?.dueAt !== undefined && extras.dueAt > clock.now()) job.state = 'scheduled'
    const { next } = this.#outbox
    addOp(next.ops, job, after, this.#wall)
    next.arrivals.push(job)
    this.#adding.add(job)
    this.#records.kept.set(job.seq, job)
  }

  async stored(job: JobRecord): Promise<void> {
    const { extras } = job
    if (extras?.storing !== undefined) return extras.storing.promise
    if (extras?.reason === 'lost') throw extras.errors?.at(-1)
    if (!this.#adding.has(job)) return undefined
    const storing = Promise.withResolvers<void>()
    job.more.storing = storing
    return storing.promise
  }

  keep(job: JobRecord): void {
    this.#records.keep(job)
  }

  current(job: JobRecord): JobRecord {
    if (job.extras?.isFar !== true) return job
    const atHand = this.#records.get(job.seq)
    if (atHand !== undefined) return atHand
    void this.#recall(job)
    return job
  }

  /** A job that waits on disk is asked about: from now on its record is told of what becomes of it. */
  async #recall(job: JobRecord): Promise<void> {
    job.more.isFar = false
    this.#records.kept.set(job.seq, job)
    const row = await this.#ask('row', job.seq).catch(() => null)
    if (isTerminal(job.state) || this.#records.get(job.seq) !== job || row === null) return
    if (row[3] < COMPLETED) return this.#moved(job.seq, row[3])
    this.#records.end(job, row, row[3])
    this.#records.forget(job)
    this.#host.recalled(job)
  }

  release(job: JobRecord): void {
    if (job.state !== 'held') return
    const { dueAt } = job.extras ?? {}
    job.state = dueAt !== undefined && dueAt > this.#host.clock.now() ? 'scheduled' : 'available'
    const { next } = this.#outbox
    next.ops.push(OP.release, job.seq, dueAt === undefined ? null : this.#wall(dueAt))
    next.releases.push(job)
  }

  peek(pool: string): JobRecord | undefined {
    return this.#ready.peek(pool)
  }

  claim(pool: string): JobRecord | undefined {
    return this.#ready.claim(pool)
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
      this.#outbox.next.ops.push(OP.mark, first.seq, first.attempts)
    }
  }

  attempted(job: JobRecord, attempt: Attempted): void {
    if (attempt.outcome === 'completed') job.more.attempted = attempt
    else attemptOp(this.#outbox.next.ops, job, attempt, this.#wall)
  }

  giveBack(job: JobRecord): void {
    this.#leaveRunning(job)
    job.state = 'available'
    const { extras } = job
    if (extras?.isMarked === true && extras.isSuspect !== true) {
      extras.isMarked = false
      this.#outbox.next.ops.push(OP.unmark, job.seq, job.attempts)
    }
    this.#ready.putBack(job)
    this.#host.wake(job.entry.task.policy.pool)
  }

  retry(job: JobRecord, dueAt: number): void {
    this.#leaveRunning(job)
    this.#leaveWindow(job)
    job.state = 'retryable'
    job.more.isMarked = false
    retryOp(this.#outbox.next.ops, job, dueAt, this.#wall)
    this.#records.letGo(job)
  }

  finish(job: JobRecord, ended: Ended): void {
    if (isTerminal(job.state)) return
    if (job.state === 'running') this.#leaveRunning(job)
    const isGranted = this.#leaveWindow(job)
    const result = encodedResult(ended.result)
    job.state = ended.state
    job.readyAt = Math.round(this.#host.clock.now())
    if (ended.state === 'completed') job.result = result
    else if (ended.state !== 'dead') job.payload = undefined
    const { more } = job
    if (ended.error !== undefined) {
      more.errors ??= []
      more.errors.push(ended.error)
    }
    if (ended.reason !== undefined) more.reason = ended.reason
    more.isUntold = true
    const { next } = this.#outbox
    finishOp(next.ops, job, { ...ended, result }, isGranted, this.#wall)
    next.endings.push(job)
    this.#records.kept.set(job.seq, job)
    this.#unique.over(job)
  }

  duplicateOf(uniqueKey: string): JobRecord | undefined {
    return this.#unique.holder(uniqueKey)
  }

  get(seq: number): JobRecord | undefined {
    const job = this.#records.get(seq)
    // What is on disk only may have changed there; its row is asked for.
    return job !== undefined && (this.#records.window.has(seq) || isTerminal(job.state)) ? job : undefined
  }

  async find(id: string): Promise<JobRecord | undefined> {
    const row = await this.#ask('find', id)
    return row === null ? undefined : this.#asItIs(row)
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    const wanted = filter.state === undefined ? null : new Set([filter.state].flat())
    const states = wanted === null ? null : [...wanted].map((state) => STATES.indexOf(state))
    // What runs here is on record as granted, until it is over.
    if (states !== null && wanted?.has('running') && !wanted.has('available'))
      states.push(STATES.indexOf('available'))
    const limit = filter.limit ?? 100
    const rows = await this.#ask('list', {
      states,
      task: filter.task ?? null,
      limit: limit + this.#ready.running,
    })
    const jobs = rows.map((row) => this.#asItIs(row)).filter((job) => job !== undefined)
    return jobs.filter((job) => wanted === null || wanted.has(job.state)).slice(0, limit)
  }

  async counts(): Promise<Record<JobState, number>> {
    const counts = await this.#ask('counts', null)
    const named = Object.fromEntries(STATES.map((state, index) => [state, counts[index] ?? 0])) as Record<
      JobState,
      number
    >
    if (this.#settings.isShared) return named
    const claimable = named.available + named.running
    return { ...named, running: this.#ready.running, available: claimable - this.#ready.running }
  }

  async history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    return (await this.#ask('history', job.seq)).map(attemptInfoOf)
  }

  async remove(job: JobRecord): Promise<boolean> {
    const isGone = await this.#ask('remove', job.seq)
    if (isGone) this.#records.forget(job)
    return isGone
  }

  revive(job: JobRecord): void {
    if (job.state !== 'dead') return
    const isHeld = job.batch !== null && job.batch.facts === null
    job.state = isHeld ? 'held' : 'available'
    job.failures = 0
    job.crashes = 0
    job.more.isSuspect = false
    job.more.isMarked = false
    this.#outbox.next.ops.push(OP.revive, job.seq, isHeld ? 1 : 0)
    if (isHeld) this.#records.keep(job)
    else this.#records.letGo(job)
  }

  nextDue(): number {
    return this.#timer.next
  }

  // ── What the journal says ──────────────────────────────────────────────────────────────────────────────────────

  #committed(reply: Reply): void {
    for (let at = 0; at < reply.granted.length; at += 2)
      this.#granted(reply.granted[at] as number, reply.granted[at + 1] as number)
    for (let at = 0; at < reply.moved.length; at += 2)
      this.#moved(reply.moved[at] as number, reply.moved[at + 1] as number)
    for (const row of reply.rows) this.#grantedRow(row)
    if (reply.fault !== undefined) this.#faulty(reply.fault, reply)
    else if (reply.upTo > 0) {
      this.#fault = undefined
      this.#deaths = 0
    }
    if (reply.isStuck !== true) this.#written(reply)
    for (const row of reply.settled) this.#settledRow(row)
    for (const row of reply.expired) this.#expired(row)
    if (reply.nextDue !== undefined) this.#timer.set(reply.nextDue)
    this.#outbox.flush()
  }

  #written({ upTo, refused }: Reply): void {
    const late = refused.length === 0 ? undefined : new Set(refused)
    for (const { arrivals, releases, endings, marks } of this.#outbox.written(upTo)) {
      for (const job of arrivals) this.#arrived(job)
      for (const job of releases) this.#settleDown(job)
      for (const job of endings) {
        if (late?.has(job.seq)) this.#lost(job)
        else this.#tell(job)
      }
      for (const job of marks) this.#push(job)
    }
  }

  #faulty(fault: JournalFault, { upTo, isStuck }: Reply): void {
    const error = passingError(fault)
    this.#fault = { error, at: this.#host.clock.now(), isStuck: isStuck === true }
    for (const job of this.#outbox.refused(upTo)) this.#refuse(job, error)
  }

  #arrived(job: JobRecord): void {
    this.#adding.delete(job)
    job.extras?.storing?.resolve()
    this.#settleDown(job)
  }

  /** What was not granted waits on disk; its record is held for nobody but those who have it. */
  #settleDown(job: JobRecord): void {
    if (isTerminal(job.state) || job.state === 'held' || this.#records.window.has(job.seq)) return
    if (this.#settings.isShared) this.#away.add(job.seq)
    this.#records.letGo(job)
  }

  #refuse(job: JobRecord, error: Error): void {
    this.#adding.delete(job)
    if (isTerminal(job.state)) return
    job.state = 'cancelled'
    job.readyAt = Math.round(this.#host.clock.now())
    const { more } = job
    more.errors = [error]
    more.reason = 'lost'
    more.storing?.promise.catch(() => {})
    more.storing?.reject(error)
    this.#unique.over(job)
    this.#records.forget(job)
    this.#host.settled(job, 0)
  }

  /** The end of a job is written. */
  #tell(job: JobRecord): void {
    const { more } = job
    if (more.isUntold !== true) return
    more.isUntold = false
    const attempt = more.attempted as Attempted | undefined
    more.attempted = undefined
    this.#records.forget(job)
    this.#host.settled(job, attempt?.started === undefined ? 0 : attempt.ended - attempt.started)
  }

  /** Our end of a job came too late: it is over already, or another process has it. */
  #lost(job: JobRecord): void {
    this.#records.forget(job)
    if (job.extras?.isUntold !== true) return
    const isOwn = job.extras.id === undefined
    if (isOwn) this.#away.add(job.seq)
    else this.#host.adopted(-1)
    if (job.extras.settle !== undefined) this.#records.kept.set(job.seq, job)
  }

  #granted(seq: number, ready: number): void {
    const job = this.#records.get(seq)
    if (job === undefined || isTerminal(job.state)) return
    this.#enterWindow(job, ready)
  }

  #grantedRow(row: Row): void {
    if (row[3] >= COMPLETED || this.#records.window.has(row[0])) return
    const known = this.#records.get(row[0])
    if (known !== undefined && isTerminal(known.state) && known.extras?.isUntold === true) return
    const job = known === undefined || isTerminal(known.state) ? this.#records.view(row) : known
    if (job === undefined) return
    if (job.extras?.id !== undefined && this.#settings.isShared) this.#host.adopted(1)
    if (row[11] === 1) job.more.isSuspect = true
    this.#enterWindow(job, row[6])
  }

  #enterWindow(job: JobRecord, ready: number): void {
    job.state = 'available'
    job.readyAt = this.#records.monotonic(ready)
    this.#records.kept.delete(job.seq)
    this.#records.window.set(job.seq, job)
    this.#away.delete(job.seq)
    if (job.extras?.isSuspect === true) this.#suspects.add(job)
    else this.#push(job)
  }

  #push(job: JobRecord): void {
    if (job.state !== 'available') return
    this.#ready.push(job)
    this.#host.wake(job.entry.task.policy.pool)
  }

  #mark(job: JobRecord): void {
    job.more.isMarked = true
    const { next } = this.#outbox
    next.ops.push(OP.mark, job.seq, job.attempts + 1)
    next.marks.push(job)
  }

  #moved(seq: number, state: number): void {
    const job = this.#records.get(seq)
    if (job !== undefined && !isTerminal(job.state)) job.state = STATES[state] ?? job.state
  }

  /** The journal itself, or another process, has ended a job. */
  #settledRow(row: Row): void {
    const [seq, , , state] = row
    const known = this.#records.get(seq)
    if (known !== undefined && isTerminal(known.state)) {
      if (known.extras?.isUntold !== true) return
      known.more.isUntold = false
    }
    const isElsewhere = this.#settings.isShared && known === undefined && !this.#away.has(seq)
    if (isElsewhere) return
    const job = known ?? this.#records.view(row)
    if (job === undefined) return
    this.#away.delete(seq)
    this.#leaveWindow(job)
    this.#records.end(job, row, state)
    this.#unique.over(job)
    this.#records.forget(job)
    this.#host.settled(job, 0)
  }

  #expired(row: Row): void {
    const job = this.#records.of(row)
    if (job === undefined || job.attempts > 0 || isTerminal(job.state) || job.state === 'running') return
    const limit = job.extras?.queueTimeout ?? job.entry.task.policy.queueTimeout
    this.finish(job, { state: 'dead', error: new QueueTimeoutError(job.entry.task.name, limit) })
  }

  // ── Small steps ────────────────────────────────────────────────────────────────────────────────────────────────

  readonly #wall = (monotonic: number): number => this.#records.wall(monotonic)

  #leaveRunning(job: JobRecord): void {
    if (this.#ready.leaveRunning(job)) this.#host.wake(job.entry.task.policy.pool)
  }

  /** True when the job was granted to us. */
  #leaveWindow(job: JobRecord): boolean {
    this.#suspects.leave(job)
    return this.#records.window.delete(job.seq)
  }

  /** A row as its record: the one that is at hand, if it knows more than the file. */
  #asItIs(row: Row): JobRecord | undefined {
    const known = this.#records.get(row[0])
    if (known === undefined) {
      return this.#records.view(row)
    }
    const isAhead = this.#records.window.has(row[0]) || isTerminal(known.state) || known.state === 'held'
    if (!isAhead) known.state = STATES[row[3]] ?? known.state
    return known
  }

  async #ask<Q extends keyof Questions>(
    question: Q,
    argument: Questions[Q]['ask'],
  ): Promise<Questions[Q]['answer']> {
    if (this.#phase === 'failed' || this.#phase === 'closed') {
      throw this.#fault?.error ?? new BrokerUnavailableError('closed', 'The journal has closed.')
    }
    // What was said before the question comes before it.
    this.#outbox.flush(true)
    return this.#questioner.ask(question, argument)
  }
}
