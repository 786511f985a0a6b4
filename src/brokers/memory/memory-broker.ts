/** The memory broker: jobs wait in this process and end with it. At most once per attempt. */
// long because: it is each capability of the port, over one set of structures that a job goes through
import { ATTEMPTS_KEPT, type JobRecord } from '../../rules/job-record.ts'
import { BATCH_FAILED } from '../../rules/journal-protocol.ts'
import type { KeptLine, KeptLog } from '../../rules/log-lines.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { ClockOffset } from '../../words/clock-offset.ts'
import { type AttemptInfo, isTerminal, type JobState, type LogLimits } from '../../words/job.ts'
import { attemptInfo, errorInfo, type KnownAttempt } from '../lifecycle/attempts.ts'
import { applyEnding } from '../lifecycle/ending.ts'
import { FinishedJobs } from '../lifecycle/finished-jobs.ts'
import { fitting } from '../lifecycle/job-filter.ts'
import { numberIn, searchInOrder } from '../lifecycle/job-search.ts'
import { tallyAmong } from '../lifecycle/job-tally.ts'
import { expiry, hasWaitedTooLong, QueueTimeouts } from '../lifecycle/queue-timeouts.ts'
import { type Attempt, type Ending, ranOf } from '../port/attempt.ts'
import type {
  AttemptSink,
  Broker,
  IntakeBroker,
  JobChange,
  JobChanges,
  JobDirectory,
  JobFilter,
  ReadyJobs,
} from '../port/broker.ts'
import type { BrokerHost } from '../port/host.ts'
import type { Found, JobSearch } from '../port/search.ts'
import type { TaskTally } from '../port/tally.ts'
import { JobIndex } from '../structures/job-index.ts'
import { PoolQueue } from '../structures/pool-queue.ts'
import { Timeline } from '../structures/timeline.ts'
import { UniqueKeys } from '../structures/unique-keys.ts'
import { KeyLocks } from './key-locks.ts'
import { MemoryLogs } from './memory-logs.ts'
import { StateCounts } from './state-counts.ts'

const COMPLETED = { outcome: 'completed', thread: undefined, cpu: undefined, error: undefined } as const

/** The broker of `memoryBroker`. */
export class MemoryBroker implements Broker, IntakeBroker, ReadyJobs, AttemptSink, JobDirectory, JobChanges {
  readonly intake: IntakeBroker = this
  readonly ready: ReadyJobs = this
  readonly attempts: AttemptSink = this
  readonly jobs: JobDirectory = this
  readonly changes: JobChanges = this
  readonly durability = null
  readonly cluster = null
  readonly schedules = null
  readonly storesPayloads = false
  readonly ownsKeys = true
  readonly refills = false
  readonly holdsTasks = true
  readonly keepsHistory: boolean
  readonly #index = new JobIndex()
  readonly #queues = new Map<string, PoolQueue>()
  /** The pool that was asked for last, and its queue: mostly there is no other. */
  #lastPool = ''
  #lastQueue: PoolQueue | undefined
  readonly #lines = new KeyLocks()
  /** How many jobs of each task run, by the task's number. */
  readonly #running: number[] = []
  readonly #counts = new StateCounts()
  readonly #logs = new MemoryLogs()
  #host!: BrokerHost
  #timeline!: Timeline
  #unique!: UniqueKeys
  #offset!: ClockOffset
  #timeouts!: QueueTimeouts
  #finished!: FinishedJobs
  /** Finished jobs of tasks that say themselves how long those are kept, by the task's number. */
  readonly #apart: (FinishedJobs | undefined)[] = []

  constructor(keepsHistory: boolean) {
    this.keepsHistory = keepsHistory
  }

  open(host: BrokerHost): void {
    this.#host = host
    this.#unique = new UniqueKeys(host.clock, (seq) => this.#index.get(seq))
    this.#offset = new ClockOffset(host.clock)
    this.#timeline = new Timeline(
      host.clock,
      (job) => this.#enterKeyLine(job),
      (job, at) => (job.state === 'scheduled' || job.state === 'retryable') && job.extras?.waitsUntil === at,
    )
    this.#timeouts = new QueueTimeouts(host.clock, (job) => this.finish(job, expiry(job)))
    const keep = (limits: BrokerHost['retention'], every?: number): FinishedJobs =>
      new FinishedJobs(host.clock, limits, (seq, state) => this.#forget(seq, state), every)
    this.#finished = keep(host.retention)
    for (const { index, task } of host.entries) {
      const { retention } = task.policy
      if (retention !== undefined) this.#apart[index] = keep(retention, 1)
    }
  }

  refusal(): undefined {
    return undefined
  }

  takeKey(job: JobRecord): void {
    const uniqueKey = job.extras?.uniqueKey
    if (uniqueKey !== undefined) this.#unique.hold(uniqueKey, job)
  }

  add(job: JobRecord, after: JobRecord | null): void {
    this.#index.set(job)
    if (job.extras !== null) this.takeKey(job)
    if (after !== null && !isTerminal(after.state)) {
      after.next = job
      job.more.before = after
    }
    if (job.batch !== null && job.batch.facts === null) this.#enter(job, 'held')
    else this.#advance(job, true)
    if (job.extras !== null) this.#timeouts.add(job)
  }

  release(job: JobRecord): void {
    if (job.state === 'held') this.#advance(job)
  }

  detach(job: JobRecord): void {
    this.#unlink(job)
  }

  peek(pool: string): JobRecord | undefined {
    return this.#queueOf(pool)?.peek()
  }

  claim(pool: string): JobRecord | undefined {
    const job = this.#queueOf(pool)?.take()
    if (job === undefined) return undefined
    const { index } = job.entry
    this.#running[index] = (this.#running[index] ?? 0) + 1
    this.#move(job, 'running')
    return job
  }

  hold(task: TaskEntry, isHeld: boolean): void {
    this.#queueFor(task.task.policy.pool).hold(task, isHeld)
  }

  /** A message to a thread is no news here: a job that was claimed counts as running. */
  sent(): void {}

  progress(): void {}

  log(job: JobRecord, line: KeptLine, limits: LogLimits): void {
    this.#logs.add(job.seq, line, limits)
  }

  async logs(job: JobRecord): Promise<KeptLog> {
    return this.#logs.of(job.seq)
  }

  putBack(job: JobRecord, attempt: Attempt | null): void {
    if (attempt !== null) this.#note(job, attempt)
    else if (hasWaitedTooLong(job, this.#host.clock.now())) return this.finish(job, expiry(job))
    this.#leaveRunning(job)
    this.#move(job, 'available')
    this.#queue(job).putBack(job)
    this.#host.wake(job.entry.task.policy.pool)
  }

  #note(job: JobRecord, { number, outcome, started, ended, error }: Attempt): void {
    const { more } = job
    const { thread, cpu } = more
    more.tries ??= []
    const { tries } = more
    const attempt = { attempt: number, outcome, started, ended, thread, cpu }
    tries.push(error instanceof Error ? { ...attempt, told: errorInfo(error) } : { ...attempt, error })
    if (tries.length > ATTEMPTS_KEPT) tries.shift()
  }

  async history(job: JobRecord): Promise<readonly AttemptInfo[]> {
    const wall = (time: number | undefined): number | undefined =>
      time === undefined ? undefined : this.#offset.wall(time)
    const tries = (job.extras?.tries ?? []) as readonly KnownAttempt[]
    const history = tries.map((known) =>
      attemptInfo({ ...known, started: wall(known.started), ended: wall(known.ended) }),
    )
    if (job.state !== 'completed' || this.keepsHistory) return history
    // Told of the job itself: the path of a job that completes has nothing to spare for a record of its attempt.
    const started = wall(job.startedAt)
    const ended = wall(job.readyAt)
    const { attempts: attempt } = job
    return [...history, attemptInfo({ ...COMPLETED, attempt, started, ended })].slice(-ATTEMPTS_KEPT)
  }

  retry(job: JobRecord, dueAt: number, attempt: Attempt): void {
    this.#note(job, attempt)
    this.#leaveRunning(job)
    this.#move(job, 'retryable')
    this.#wait(job, dueAt)
  }

  finish(job: JobRecord, ending: Ending): void {
    const { attempt } = ending
    if (
      attempt !== undefined &&
      (attempt.outcome !== 'completed' || this.keepsHistory) &&
      !isTerminal(job.state)
    ) {
      this.#note(job, attempt)
    }
    // A loop, not a recursion: a batch may be long, and each skipped job may skip the one behind it.
    let over: JobRecord | null = job
    let how = ending
    while (over !== null && !isTerminal(over.state)) {
      const next: JobRecord | null = this.#close(over, how)
      const isStopped: boolean = next !== null && stops(over, next)
      // All is in order before anybody hears of it: a listener may settle the batch or add to it.
      if (next?.state === 'waiting' && next.extras?.before === undefined && !isStopped) this.#advance(next)
      this.#host.settled(over, ranOf(how.attempt))
      over = isStopped ? next : null
      how = { state: 'skipped', reason: BATCH_FAILED }
    }
  }

  holderOf(uniqueKey: string): JobRecord | undefined {
    return this.#unique.holder(uniqueKey)
  }

  get(seq: number): JobRecord | undefined {
    return this.#index.get(seq)
  }

  /** This process has every job, and `get` has found those that there are. */
  find(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  list(filter: JobFilter): readonly JobRecord[] {
    const fits = fitting(filter)
    const found: JobRecord[] = []
    for (const job of this.#index.values()) if (fits(job)) found.push(job)
    return found.reverse().slice(0, filter.limit ?? 100)
  }

  search(search: JobSearch): Promise<Found> {
    const { idPrefix } = this.#host
    return searchInOrder(
      {
        after: (place) => this.#index.inOrder(search.order, numberIn(place)),
        placeOf: ({ seq }) => String(seq),
        byId: (id) =>
          id.startsWith(idPrefix) ? this.get(Number.parseInt(id.slice(idPrefix.length), 36)) : undefined,
      },
      search,
      this.#host,
    )
  }

  tally(): Promise<readonly TaskTally[]> {
    return tallyAmong(this.#index.inOrder('oldest', undefined), this.#host)
  }

  isKept(job: JobRecord): boolean {
    return this.#index.get(job.seq) === job
  }

  revive(job: JobRecord): void {
    if (job.state !== 'dead') return
    this.#finishedOf(job).revived(job)
    job.failures = 0
    job.crashes = 0
    const { uniqueKey } = job.more
    if (uniqueKey !== undefined) this.#unique.hold(uniqueKey, job)
    // Its response may not be over yet: the job can have died of waiting for it.
    if (job.batch !== null && job.batch.facts === null) this.#move(job, 'held')
    else this.#advance(job)
  }

  async change(job: JobRecord, { priority, dueAt, payload }: JobChange): Promise<boolean> {
    if (job.state === 'running' || isTerminal(job.state)) return false
    if (payload !== undefined) job.payload = payload.encoded
    if (priority !== undefined && priority !== job.priority) {
      job.priority = priority
      if (job.state === 'available') this.#queue(job).moved(job)
    }
    if (dueAt !== undefined) this.#setDue(job, dueAt)
    return true
  }

  async remove(job: JobRecord): Promise<boolean> {
    if (!isTerminal(job.state) || this.#index.get(job.seq) !== job) return false
    // Its entry among the finished jobs is passed over when its turn comes.
    this.#finishedOf(job).revived(job)
    this.#forget(job.seq, job.state)
    return true
  }

  nextDue(): number {
    return this.#timeline.next()
  }

  counts(): Record<JobState, number> {
    return this.#counts.all()
  }

  close(): void {
    this.#timeline.close()
    this.#unique.close()
    this.#timeouts.close()
  }

  /** Takes a job as far as it can go: behind its batch, to its time, into its key's line, or to the threads. */
  #advance(job: JobRecord, isNew = false): void {
    const dueAt = job.extras?.dueAt
    const state = job.extras?.before
      ? 'waiting'
      : dueAt !== undefined && dueAt > this.#host.clock.now()
        ? 'scheduled'
        : null
    if (state === null) return this.#enterKeyLine(job, isNew)
    if (isNew) this.#enter(job, state)
    else this.#move(job, state)
    if (state === 'scheduled') this.#wait(job, dueAt as number)
  }

  #wait(job: JobRecord, dueAt: number): void {
    job.more.waitsUntil = dueAt
    this.#timeline.add(job, dueAt)
  }

  /** A job that waits is due at another time. One that is to be tried again keeps its key meanwhile; no other does. */
  #setDue(job: JobRecord, dueAt: number): void {
    const { state, more } = job
    if (state === 'retryable' || state === 'scheduled') this.#timeline.left()
    if (state === 'retryable') more.waitsUntil = dueAt
    else more.dueAt = dueAt
    // Of a held job no delay is left to count from the end of its response, and no turn to wait for comes earlier by this.
    if (state === 'held') more.delay = undefined
    if (state === 'held' || more.before !== undefined) return
    const isEarlier = dueAt <= this.#host.clock.now()
    if (isEarlier && (state === 'available' || state === 'waiting')) return
    if (isEarlier) return this.#enterKeyLine(job)
    if (state === 'retryable') return this.#timeline.add(job, dueAt)
    if (state === 'available') this.#queue(job).left(job)
    this.#move(job, 'scheduled')
    this.#wait(job, dueAt)
    this.#leaveLine(job)
  }

  #enterKeyLine(job: JobRecord, isNew = false): void {
    const first = job.extras?.key === undefined || this.#lines.join(job.extras.key, job)
    if (isNew) this.#enter(job, first ? 'available' : 'waiting')
    else this.#move(job, first ? 'available' : 'waiting')
    if (first) this.#offer(job)
  }

  #offer(job: JobRecord): void {
    job.readyAt = Math.round(this.#host.clock.now())
    this.#queue(job).push(job)
    this.#host.wake(job.entry.task.policy.pool)
  }

  /** Ends a job and returns the one of its batch that waited for it. */
  #close(job: JobRecord, ending: Ending): JobRecord | null {
    const from = job.state
    if (from === 'running') this.#leaveRunning(job)
    // Its old place in the ring must not be taken for a new one, should it be revived.
    if (from === 'available' && ending.state === 'dead') job.more.isInRing = true
    this.#move(job, ending.state)
    // Said once it is so: the queue looks at the states of its jobs.
    if (from === 'available') this.#queue(job).ended(job)
    else if (from === 'scheduled' || from === 'retryable') this.#timeline.left()
    applyEnding(job, ending, ending.attempt?.ended ?? this.#host.clock.now())
    if (job.extras !== null) this.#freeNames(job)
    const next = this.#unlink(job)
    this.#finishedOf(job).add(job)
    return next
  }

  /** Takes a job out of the chain of its batch; who waited for it now waits for the one before it. Returns that one. */
  #unlink(job: JobRecord): JobRecord | null {
    const { next } = job
    const before = job.extras?.before
    job.next = null
    if (before !== undefined) {
      before.next = next
      job.more.before = undefined
    }
    if (next !== null) next.more.before = before
    return next
  }

  #freeNames(job: JobRecord): void {
    this.#unique.over(job)
    this.#timeouts.over(job)
    this.#leaveLine(job)
  }

  #leaveLine(job: JobRecord): void {
    const key = job.extras?.key
    if (key === undefined) return
    const next = this.#lines.leave(key, job)
    if (next === undefined) return
    this.#move(next, 'available')
    this.#offer(next)
  }

  #leaveRunning(job: JobRecord): void {
    const { index, task } = job.entry
    this.#running[index] = (this.#running[index] ?? 0) - 1
    // Others of its task may have waited for this.
    if (task.policy.concurrency !== Number.POSITIVE_INFINITY) this.#host.wake(task.policy.pool)
  }

  #queue(job: JobRecord): PoolQueue {
    return this.#queueFor(job.entry.task.policy.pool)
  }

  #queueFor(pool: string): PoolQueue {
    let queue = this.#queueOf(pool)
    if (queue === undefined) {
      queue = new PoolQueue(
        this.#host.ageing,
        ({ index, task }) => (this.#running[index] ?? 0) < task.policy.concurrency,
      )
      this.#queues.set(pool, queue)
    }
    return queue
  }

  #queueOf(pool: string): PoolQueue | undefined {
    if (pool === this.#lastPool && this.#lastQueue !== undefined) return this.#lastQueue
    this.#lastPool = pool
    this.#lastQueue = this.#queues.get(pool)
    return this.#lastQueue
  }

  #enter(job: JobRecord, state: JobState): void {
    job.state = state
    this.#counts.enter(state)
  }

  #move(job: JobRecord, state: JobState): void {
    this.#counts.leave(job.state)
    this.#enter(job, state)
  }

  #finishedOf(job: JobRecord): FinishedJobs {
    return this.#apart[job.entry.index] ?? this.#finished
  }

  #forget(seq: number, state: JobState): void {
    this.#counts.leave(state)
    this.#logs.forget(seq)
    this.#index.delete(seq)
  }
}

/** True when a job is to be skipped for the end of the one before it in its batch. */
function stops(before: JobRecord, next: JobRecord): boolean {
  return (
    (before.state === 'dead' && next.batch?.onFailure === 'stop') || before.extras?.reason === BATCH_FAILED
  )
}
