// #region frame
import type { AttemptInfo, JobState } from 'aftertask'
import {
  type Attempt,
  type AttemptSink,
  applyEnding,
  attemptInfo,
  BATCH_FAILED,
  type Broker,
  type BrokerHost,
  type Ending,
  expiry,
  FinishedJobs,
  fitting,
  hasWaitedTooLong,
  type IntakeBroker,
  isTerminal,
  type JobDirectory,
  type JobRecord,
  KeptLines,
  QueueTimeouts,
  type ReadyJobs,
  ranOf,
  searchAmong,
  type TaskEntry,
  TERMINAL_STATES,
  tallyAmong,
  UNFINISHED_STATES,
  UniqueKeys,
} from 'aftertask/broker'

/** Keeps jobs in one map, and looks at all of them whenever something has changed: for a few hundred jobs. */
export function smallBroker(): Broker {
  return new SmallBroker()
}

class SmallBroker implements Broker {
  // Jobs end with this process, which has them all.
  readonly durability = null
  readonly cluster = null
  readonly changes = null
  readonly schedules = null
  #host!: BrokerHost
  #unique!: UniqueKeys
  #timeouts!: QueueTimeouts
  #finished!: FinishedJobs
  #stopTimer: (() => void) | undefined
  /** Every job, by its number. */
  readonly #jobs = new Map<number, JobRecord>()
  /** The job of its batch that a job waits for. */
  readonly #before = new Map<JobRecord, JobRecord>()
  /** The job that has a key. */
  readonly #keys = new Map<string, JobRecord>()
  /** When a job is to be tried again. */
  readonly #retryAt = new Map<JobRecord, number>()
  readonly #heldBack = new Set<TaskEntry>()
  readonly #logs = new WeakMap<JobRecord, KeptLines>()
  readonly #history = new WeakMap<JobRecord, AttemptInfo[]>()

  open(host: BrokerHost): void {
    this.#host = host
    this.#unique = new UniqueKeys(host.clock)
    this.#timeouts = new QueueTimeouts(host.clock, (job) => this.#finish(job, expiry(job)))
    this.#finished = new FinishedJobs(host.clock, host.retention, (seq) => this.#jobs.delete(seq))
  }

  close(): void {
    this.#stopTimer?.()
    this.#unique.close()
    this.#timeouts.close()
  }
  // #endregion frame

  // #region intake
  readonly intake: IntakeBroker = {
    storesPayloads: false,
    ownsKeys: true,
    refusal: () => undefined,
    holderOf: (uniqueKey) => this.#unique.holder(uniqueKey),
    takeKey: (job) => this.#takeKey(job),
    add: (job, after) => {
      this.#jobs.set(job.seq, job)
      this.#takeKey(job)
      this.#timeouts.add(job)
      if (after !== null) this.#before.set(job, after)
      this.#wait(job)
    },
    release: (job) => {
      if (job.state === 'held') this.#wait(job)
    },
    detach: (job) => this.#leaveBatch(job),
  }

  #takeKey(job: JobRecord): void {
    const uniqueKey = job.extras?.uniqueKey
    if (uniqueKey !== undefined) this.#unique.hold(uniqueKey, job)
  }

  #wait(job: JobRecord): void {
    job.state = job.batch !== null && job.batch.facts === null ? 'held' : 'waiting'
    this.#look()
  }

  /** Whoever waited for the job waits for the job before it. Returns those that waited. */
  #leaveBatch(job: JobRecord): JobRecord[] {
    const before = this.#before.get(job)
    this.#before.delete(job)
    const behind = [...this.#before].filter(([, other]) => other === job).map(([waiting]) => waiting)
    for (const waiting of behind) {
      if (before === undefined) this.#before.delete(waiting)
      else this.#before.set(waiting, before)
    }
    return behind
  }
  // #endregion intake

  // #region look
  /** Lets every job come forward that may run, oldest first. */
  #look(): void {
    const { clock } = this.#host
    const now = clock.now()
    let next = Number.POSITIVE_INFINITY
    for (const job of this.#jobs.values()) {
      if (job.state !== 'waiting' && job.state !== 'scheduled' && job.state !== 'retryable') continue
      const due = this.#retryAt.get(job) ?? job.extras?.dueAt ?? now
      if (this.#before.has(job)) job.state = 'waiting'
      else if (due <= now) this.#comeForward(job, now)
      else if (job.state === 'waiting') job.state = 'scheduled'
      if (job.state === 'scheduled' || job.state === 'retryable') next = Math.min(next, due)
    }
    this.#stopTimer?.()
    this.#stopTimer =
      next === Number.POSITIVE_INFINITY ? undefined : clock.timer(next - now, () => this.#look())
  }

  /** The batch and the time of a job let it run: now its key has to be free. */
  #comeForward(job: JobRecord, now: number): void {
    const key = job.extras?.key
    const holder = key === undefined ? job : (this.#keys.get(key) ?? job)
    job.state = holder === job ? 'available' : 'waiting'
    if (holder !== job) return
    if (key !== undefined) this.#keys.set(key, job)
    this.#retryAt.delete(job)
    job.readyAt = Math.round(now)
    this.#host.wake(job.entry.task.policy.pool)
  }
  // #endregion look

  // #region ready
  readonly ready: ReadyJobs = {
    refills: false,
    holdsTasks: true,
    peek: (pool) => this.#best(pool),
    claim: (pool) => {
      const job = this.#best(pool)
      if (job !== undefined) job.state = 'running'
      return job
    },
    sent() {},
    hold: (task, isHeld) => {
      if (isHeld) this.#heldBack.add(task)
      else this.#heldBack.delete(task)
    },
  }

  /** The available job of a pool with the best rank. What jobs wait raises them all alike, so ranks never change. */
  #best(pool: string): JobRecord | undefined {
    const weight = this.#host.ageing || 2 ** 40
    const rank = (job: JobRecord): number => job.readyAt - job.priority * weight
    let best: JobRecord | undefined
    for (const job of this.#jobs.values()) {
      if (job.state !== 'available' || job.entry.task.policy.pool !== pool || !this.#mayRun(job.entry))
        continue
      if (best === undefined || rank(job) < rank(best)) best = job
    }
    return best
  }

  #mayRun(entry: TaskEntry): boolean {
    const running = [...this.#jobs.values()].filter((job) => job.entry === entry && job.state === 'running')
    return !this.#heldBack.has(entry) && running.length < entry.task.policy.concurrency
  }
  // #endregion ready

  // #region attempts
  readonly attempts: AttemptSink = {
    keepsHistory: true,
    progress() {},
    log: (job, line, limits) => {
      const log = this.#logs.get(job) ?? new KeptLines(limits)
      this.#logs.set(job, log)
      log.add(line)
    },
    putBack: (job, attempt) => {
      if (attempt !== null) this.#note(job, attempt)
      else if (hasWaitedTooLong(job, this.#host.clock.now())) return this.#finish(job, expiry(job))
      job.state = 'available'
      this.#host.wake(job.entry.task.policy.pool)
    },
    retry: (job, dueAt, attempt) => {
      this.#note(job, attempt)
      this.#retryAt.set(job, dueAt)
      job.state = 'retryable'
      this.#host.wake(job.entry.task.policy.pool)
      this.#look()
    },
    finish: (job, ending) => this.#finish(job, ending),
  }

  #finish(job: JobRecord, ending: Ending): void {
    if (isTerminal(job.state)) return
    const { attempt } = ending
    if (attempt !== undefined) this.#note(job, attempt)
    applyEnding(job, ending, attempt?.ended ?? this.#host.clock.now())
    const { key } = job.extras ?? {}
    if (key !== undefined && this.#keys.get(key) === job) this.#keys.delete(key)
    this.#retryAt.delete(job)
    this.#unique.over(job)
    this.#timeouts.over(job)
    this.#finished.add(job)
    const behind = this.#leaveBatch(job)
    const hasFailed = ending.state === 'dead' || ending.reason === BATCH_FAILED
    const skipped = behind.filter(({ batch }) => hasFailed && batch?.onFailure === 'stop')
    // All is in order before anybody hears of the end: a listener may add jobs.
    for (const next of skipped) this.#finish(next, { state: 'skipped', reason: BATCH_FAILED })
    this.#look()
    this.#host.wake(job.entry.task.policy.pool)
    this.#host.settled(job, ranOf(attempt))
  }

  /** Keeps an attempt for `history`, in wall-clock time. */
  #note(job: JobRecord, { number, outcome, started, ended, error }: Attempt): void {
    const { clock } = this.#host
    const offset = clock.wall() - clock.now()
    const { thread, cpu } = job.extras ?? {}
    const times = { started: started === undefined ? undefined : started + offset, ended: ended + offset }
    const attempt = attemptInfo({ attempt: number, outcome, ...times, thread, cpu, error })
    this.#history.set(job, [...(this.#history.get(job) ?? []), attempt])
  }
  // #endregion attempts

  // #region jobs
  readonly jobs: JobDirectory = {
    get: (seq) => this.#jobs.get(seq),
    find: async () => undefined,
    list: (filter) => {
      const fits = fitting(filter)
      return [...this.#jobs.values()]
        .filter(fits)
        .reverse()
        .slice(0, filter.limit ?? 100)
    },
    search: (search) => searchAmong(this.#jobs.values(), search, this.#host),
    counts: () => {
      const counts = Object.fromEntries([...TERMINAL_STATES, ...UNFINISHED_STATES].map((state) => [state, 0]))
      for (const { state } of this.#jobs.values()) counts[state] = (counts[state] ?? 0) + 1
      return counts as Record<JobState, number>
    },
    tally: () => tallyAmong(this.#jobs.values(), this.#host),
    nextDue: () => {
      const due = [...this.#jobs.values()]
        .filter(({ state }) => state === 'scheduled' || state === 'retryable')
        .map((job) => this.#retryAt.get(job) ?? job.extras?.dueAt ?? 0)
      return Math.min(Number.POSITIVE_INFINITY, ...due)
    },
    history: async (job) => this.#history.get(job) ?? [],
    logs: async (job) => (this.#jobs.has(job.seq) && this.#logs.get(job)) || { lines: [], dropped: 0 },
    isKept: (job) => this.#jobs.get(job.seq) === job,
    revive: (job) => {
      if (job.state !== 'dead') return
      this.#finished.revived(job)
      job.failures = 0
      job.crashes = 0
      this.#takeKey(job)
      this.#wait(job)
    },
    remove: async (job) => {
      if (!(isTerminal(job.state) && this.#jobs.has(job.seq))) return false
      this.#finished.revived(job)
      return this.#jobs.delete(job.seq)
    },
  }
}
// #endregion jobs
