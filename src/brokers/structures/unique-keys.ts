/** Who holds which unique key: for as long as the job is pending, or waits, or for a time from its acceptance. */
import { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import { isTerminal } from '../../words/job.ts'
import { Heap } from './heap.ts'

// Below so many outdated ends it is not worth the walk.
const FEW = 64

interface Holder {
  /** The job; of one that is over and holds its key for a time, only what names it. */
  job: JobRecord
  readonly until: number
}

interface End {
  readonly key: string
  readonly until: number
}

/**
 * Unique keys and their holders. A job that is over and still holds its key costs its name and its times, whatever its
 * payload and its result were. A job that ended without having run lets go of its key: nothing was done under it.
 */
export class UniqueKeys {
  readonly #holders = new Map<string, Holder>()
  readonly #ends = new Heap<End>((a, b) => a.until - b.until)
  readonly #clock: Clock
  readonly #find: ((seq: number) => JobRecord | undefined) | undefined
  #outdated = 0
  #timerAt = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined

  /** `find` returns the record of a job that is over, for as long as it is kept elsewhere; without it, it is kept here. */
  constructor(clock: Clock, find?: (seq: number) => JobRecord | undefined) {
    this.#clock = clock
    this.#find = find
  }

  /** The job takes its unique key. */
  hold(key: string, job: JobRecord): void {
    const until = job.extras?.uniqueUntil ?? Number.POSITIVE_INFINITY
    if (until <= this.#clock.now()) return
    if (this.#holders.get(key)?.until === until) return void this.#holders.set(key, { job, until })
    this.#drop(key)
    this.#holders.set(key, { job, until })
    if (until === Number.POSITIVE_INFINITY) return
    this.#ends.push({ key, until })
    this.#arm()
  }

  /** The job that holds a key now. */
  holder(key: string): JobRecord | undefined {
    const holder = this.#holders.get(key)
    if (holder === undefined) return undefined
    const { job, until } = holder
    if (hasLetGo(job)) return undefined
    if (until === Number.POSITIVE_INFINITY) return isTerminal(job.state) ? undefined : job
    if (this.#clock.now() >= until) return undefined
    return job.extras?.isStub === true ? (this.#find?.(job.seq) ?? job) : job
  }

  /** The job that held a key until it started, and is not over: where keys are written down, it still has it. */
  formerHolder(key: string): JobRecord | undefined {
    const job = this.#holders.get(key)?.job
    return job !== undefined && hasLetGo(job) && !isTerminal(job.state) ? job : undefined
  }

  /** The job is over: it lets go of its key, unless it has run and holds the key for a time. */
  over(job: JobRecord): void {
    const { uniqueKey: key } = job.extras ?? {}
    const holder = key === undefined ? undefined : this.#holders.get(key)
    if (key === undefined || holder === undefined || !isSame(holder.job, job)) return
    const hasRun = job.state === 'completed' || job.attempts > 0
    if (holder.until === Number.POSITIVE_INFINITY || !hasRun) this.#drop(key)
    else if (this.#find !== undefined) holder.job = stubOf(job)
  }

  /** Keys that are held, or of which the time is not over. */
  get size(): number {
    return this.#holders.size
  }

  /** Stops the timer. */
  close(): void {
    this.#clearTimer?.()
    this.#timerAt = Number.NEGATIVE_INFINITY
  }

  #drop(key: string): void {
    const holder = this.#holders.get(key)
    if (holder === undefined) return
    this.#holders.delete(key)
    if (holder.until === Number.POSITIVE_INFINITY) return
    const { length } = this.#ends
    if (++this.#outdated < length && (this.#outdated <= FEW || this.#outdated * 2 <= length)) return
    this.#ends.retain((end) => this.#holders.get(end.key)?.until === end.until)
    this.#outdated = 0
  }

  #arm(): void {
    const end = this.#ends.peek()
    if (end === undefined || end.until >= this.#timerAt) return
    this.#clearTimer?.()
    this.#timerAt = end.until
    this.#clearTimer = this.#clock.timer(end.until - this.#clock.now(), () => this.#expire())
  }

  #expire(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    for (let end = this.#ends.peek(); end !== undefined && end.until <= now; end = this.#ends.peek()) {
      this.#ends.pop()
      if (this.#holders.get(end.key)?.until === end.until) this.#holders.delete(end.key)
      else if (this.#outdated > 0) this.#outdated--
    }
    this.#arm()
  }
}

function isSame(one: JobRecord, other: JobRecord): boolean {
  return one === other || (one.seq === other.seq && one.extras?.id === other.extras?.id)
}

/** What remains of a job that is over: enough for a handle to name it. */
function stubOf(job: JobRecord): JobRecord {
  const stub = new JobRecord(job.seq, job.entry, undefined, job.priority, job.acceptedAt)
  stub.state = job.state
  stub.attempts = job.attempts
  stub.readyAt = job.readyAt
  const { id } = job.extras ?? {}
  stub.extras = { isStub: true, ...(id !== undefined && { id }) }
  return stub
}

/** Unique only until its first attempt started, which it has. */
function hasLetGo({ extras, state, attempts }: JobRecord): boolean {
  return extras?.uniqueWhile === 'waiting' && (state === 'running' || state === 'retryable' || attempts > 0)
}
