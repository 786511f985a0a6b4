/**
 * Brings jobs of one queue to this process, never more than its threads can take, and keeps looking for jobs of processes
 * that died. BullMQ's own worker is not used, since it hands out jobs by running them.
 */
import type { Clock } from '../../../words/clock.ts'
import { every } from '../../lifecycle/every.ts'
import type { WriteWatch } from '../../lifecycle/retries.ts'
import { byAge } from '../store/job-data.ts'
import { stalledInterval } from '../store/queue-options.ts'
import type { Claimed, JobSource } from '../store/shared-store.ts'

/** What a fetch loop asks of the consumer. */
export interface FetchHost {
  /** Hears of claims that fail. */
  readonly watch?: WriteWatch
  /** How many more jobs of this queue can be taken now. */
  room(loop: FetchLoop): number
  /** Resolves to true when jobs whose lease has run out may be taken for those of a process that died. */
  mayReclaim(): Promise<boolean>
  /** A job was fetched by what the store was asked at a time on the monotonic clock, and belongs to this process. */
  fetched(loop: FetchLoop, claimed: Claimed, askedAt: number): void
  /** True while jobs of a task are not to start in this process: they stay aside. */
  isHeld(task: string): boolean
  /** There may be room for jobs of a pool. */
  look(pool: string): void
  /** True when another queue of the pool has no job here and waits for a place: who keeps his own would starve it. */
  isAwaited(loop: FetchLoop): boolean
}

/** What is fixed for a fetch loop. */
export interface FetchSettings {
  readonly queue: string
  readonly pool: string
  /** Jobs of this queue that may run at once in this process. */
  readonly limit: number
  /** The tasks whose jobs may have been set aside by a process that does not have them. */
  readonly tasks: readonly string[]
  /** Milliseconds. */
  readonly lease: number
  /** What is noted on a job that this process fetches. */
  readonly name: string
  /** All commands go through one connection. */
  readonly isOrdered: boolean
}

// A job that is put back is not announced by BullMQ, so an idle process looks for itself as well.
const LONGEST_WAIT = 2000
const AFTER_A_FAULT = 200
const MOST_AT_ONCE = 128

// Counts the loops that came to wait for room.
let waits = 0

/** Fetches the jobs of one queue. */
export class FetchLoop {
  readonly source: JobSource
  readonly of: FetchSettings
  /** Jobs that this process has of the queue. */
  leased = 0
  /** Since when it waits for room, in the order in which loops came to wait; undefined while it does not. */
  waitsSince: number | undefined
  readonly #host: FetchHost
  readonly #clock: Clock
  #tokens = 0
  /** Tokens of a claim that no answer has come for. */
  #unanswered: readonly string[] = []
  #isOpen = true
  #isFetching = false
  /** Tasks of which jobs may lie aside. */
  readonly #aside = new Set<string>()
  /** The wait for work that is under way: one that was cut short here goes on in the store. */
  #waiting: Promise<number> | undefined
  /** Jobs whose end is being written while another is fetched in the same step. */
  #ending = 0
  #wake: (() => void) | undefined
  #endWait: (() => void) | undefined
  #stopLooking = (): void => {}
  #isOver: Promise<void> = Promise.resolve()

  constructor(of: FetchSettings, source: JobSource, host: FetchHost, clock: Clock) {
    this.of = of
    this.source = source
    this.#host = host
    this.#clock = clock
  }

  start(): void {
    for (const task of this.of.tasks) this.#aside.add(task)
    this.#isOver = this.#run()
    this.#stopLooking = every(this.#clock, stalledInterval(this.of.lease), () => {
      this.#reclaim()
      // Whoever sets jobs aside says so, and what is said may get lost.
      for (const task of this.of.tasks) this.#aside.add(task)
    })
    this.#reclaim()
  }

  /** Jobs of a task have been set aside. */
  lookAside(task: string): void {
    if (!this.of.tasks.includes(task)) return
    this.#aside.add(task)
    this.#endWait?.()
  }

  /** There may be room again. */
  look(): void {
    this.#wake?.()
  }

  /**
   * Whoever ends a job may fetch the next in the same step. Not while a fetch of another kind is under way, if they go
   * through several connections: they would come out of order. Nor while more can be fetched at once than ends here.
   */
  beginWithEnd(): boolean {
    const room = this.#host.room(this)
    if (!this.#isOpen || (this.of.isOrdered ? room < 0 : this.#isFetching || room !== 0)) return false
    if (this.#host.isAwaited(this)) return false
    this.#ending++
    return true
  }

  /** That fetch is over. */
  overWithEnd(): void {
    this.#ending--
    this.look()
  }

  get isFetching(): boolean {
    return this.#isFetching || (!this.of.isOrdered && this.#ending > 0)
  }

  /** Stops fetching; what is under way is still handed over. */
  async stop(): Promise<void> {
    if (!this.#isOpen) return this.#isOver
    this.#isOpen = false
    this.#host.watch?.passed(this)
    this.#stopLooking()
    this.#wake?.()
    this.source.stopWaiting()
    this.#endWait?.()
    await this.#isOver
  }

  async #run(): Promise<void> {
    let most = 1
    while (this.#isOpen) {
      const room = Math.min(this.#host.room(this), MOST_AT_ONCE)
      if (room <= 0 || this.isFetching) {
        await this.#roomOrEnd()
        continue
      }
      this.#isFetching = true
      this.waitsSince = undefined
      try {
        const { count, dueAt } = await this.#fetch(Math.min(room, most))
        this.#host.watch?.passed(this)
        // As long as there are enough, more are asked for at a time.
        most = count > 0 ? Math.min(most * 2, MOST_AT_ONCE) : 1
        this.#isFetching = false
        if (count === 0 && this.#isOpen) await this.#waitForWork(dueAt)
      } catch (error) {
        this.#isFetching = false
        // What ends as the loop is stopped is no fault.
        if (this.#isOpen) this.#host.watch?.failed(this, error)
        await this.#pause(AFTER_A_FAULT)
      }
    }
  }

  async #fetch(most: number): Promise<{ count: number; dueAt: number }> {
    // Tokens that nobody else has.
    const tokens = Array.from({ length: most }, () => `${this.of.name}:${(this.#tokens++).toString(36)}`)
    this.leased += most
    const askedAt = this.#clock.now()
    let count = 0
    try {
      const { jobs, dueAt } = await this.#claim(tokens).finally(() => {
        this.leased -= most
      })
      count = jobs.length
      // From several connections they come in any order.
      const byTheirAge = jobs.toSorted((one, other) => byAge(aged(one), aged(other)))
      for (const claimed of byTheirAge) this.#host.fetched(this, claimed, askedAt)
      return { count, dueAt }
    } finally {
      // Places that were kept for this fetch and are not needed are there for the other queues of the pool.
      if (count < most) this.#host.look(this.of.pool)
    }
  }

  /** What no answer came for may have been claimed all the same. */
  async #claim(tokens: readonly string[]): ReturnType<JobSource['claim']> {
    if (this.#unanswered.length > 0) {
      const jobs = await this.source.claimedUnder(this.#unanswered)
      const leases = jobs.map(({ token, job: { id, starts, stalls } }) => ({ id, token, starts, stalls }))
      const gone = new Set(leases.length > 0 ? await this.source.renew(leases, this.of.lease) : [])
      this.#unanswered = []
      if (jobs.length > gone.size) return { jobs: jobs.filter(({ job }) => !gone.has(job.id)), dueAt: 0 }
    }
    this.#unanswered = tokens
    const aside = this.#aside.size === 0 ? [] : await this.#claimAside(tokens)
    const claimed = aside.length > 0 ? { jobs: aside, dueAt: 0 } : await this.source.claim(tokens)
    this.#unanswered = []
    return claimed
  }

  /** What was set aside has waited for longest. */
  async #claimAside(tokens: readonly string[]): Promise<readonly Claimed[]> {
    const tasks = [...this.#aside].filter((task) => !this.#host.isHeld(task))
    this.#aside.clear()
    if (tasks.length === 0) return []
    const jobs = await this.source.claimAside(tokens, tasks)
    if (jobs.length > 0) for (const task of tasks) this.#aside.add(task)
    return jobs
  }

  async #waitForWork(dueAt: number): Promise<void> {
    const due = dueAt > 0 ? dueAt - this.#clock.wall() : LONGEST_WAIT
    if (due <= 0) return
    const longest = Math.min(due, LONGEST_WAIT)
    let stopTimer = (): void => {}
    const ended = new Promise<number>((resolve) => {
      this.#endWait = () => resolve(0)
      // The wait that is under way may be a longer one.
      if (this.#waiting !== undefined) stopTimer = this.#clock.timer(longest, () => resolve(0))
    })
    this.#waiting ??= this.source.waitForWork(longest).finally(() => {
      this.#waiting = undefined
    })
    const nap = await Promise.race([this.#waiting, ended]).finally(stopTimer)
    if (nap > 0) await this.#pause(nap)
  }

  #roomOrEnd(): Promise<void> {
    // Nothing is asked of the store meanwhile, so nothing fails.
    this.#host.watch?.passed(this)
    this.waitsSince ??= ++waits
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
      if (!this.#isOpen) this.#wake()
    })
  }

  /** Over at once when the loop is stopped. */
  #pause(milliseconds: number): Promise<void> {
    if (!this.#isOpen) return Promise.resolve()
    return new Promise((resolve) => {
      const stopTimer = this.#clock.timer(milliseconds, resolve)
      this.#endWait = () => {
        stopTimer()
        resolve()
      }
    })
  }

  /** Jobs whose lease ran out go back to where they waited; whichever process looks first puts them there. */
  #reclaim(): void {
    const reclaim = async (): Promise<void> => {
      if (await this.#host.mayReclaim()) await this.source.reclaimExpired()
    }
    // A store that cannot be asked now is asked again soon.
    reclaim().catch(() => {})
  }
}

function aged({ job }: Claimed): { id: string; at: number } {
  return { id: job.id, at: job.data.a }
}
