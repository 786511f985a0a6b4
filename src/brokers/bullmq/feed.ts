/**
 * A feed: brings jobs of one queue to this process, never more than its threads can take, and keeps looking for jobs of
 * processes that died. BullMQ's own worker is not used, since it hands out jobs by running them; its backend is.
 */
import type { IQueueBackend, JobJson } from 'bullmq'
import type { Clock } from '../../words/clock.ts'
import type { Fetcher } from './fetcher.ts'
import { stalledInterval } from './store.ts'
import { byAge } from './stored-job.ts'

/** What a feed asks of the broker. */
export interface FeedHost {
  /** How many more jobs of this queue can be taken now. */
  room(feed: Feed): number
  /** Resolves to true when jobs whose lease has run out may be taken for those of a process that died. */
  mayTakeOver(): Promise<boolean>
  /** A job was fetched, and belongs to this process under the token. */
  fetched(feed: Feed, json: JobJson, id: string, token: string): void
}

// A job that is put back is not announced by BullMQ, so an idle process looks for itself as well.
const LONGEST_WAIT = 2
const AFTER_A_FAULT = 200
const MOST_AT_ONCE = 128

/** Fetches the jobs of one queue. */
export class Feed {
  readonly queue: string
  readonly pool: string
  /** Jobs of this queue that may run at once in this process. */
  readonly limit: number
  /** Jobs that this process has of it. */
  leased = 0
  readonly fetcher: Fetcher
  readonly #host: FeedHost
  readonly #clock: Clock
  readonly #lease: number
  readonly #isOrdered: boolean
  /** What BullMQ notes on a job that this process fetches. */
  readonly name: string
  #tokens = 0
  #isOpen = true
  #isFetching = false
  /** Jobs whose end is being written while another is fetched in the same step. */
  #ending = 0
  #wake: (() => void) | undefined
  #endWait: (() => void) | undefined
  #stopStalledTimer: (() => void) | undefined
  #isOver: Promise<void> = Promise.resolve()

  constructor(
    at: {
      queue: string
      pool: string
      limit: number
      fetcher: Fetcher
      lease: number
      name: string
      /** All commands go through one connection. */
      isOrdered: boolean
    },
    host: FeedHost,
    clock: Clock,
  ) {
    this.queue = at.queue
    this.pool = at.pool
    this.limit = at.limit
    this.fetcher = at.fetcher
    this.#lease = at.lease
    this.#isOrdered = at.isOrdered
    this.name = at.name
    this.#host = host
    this.#clock = clock
  }

  start(): void {
    this.#isOver = this.#run()
    this.#lookForStalled()
  }

  /** There may be room again. */
  look(): void {
    this.#wake?.()
  }

  /**
   * Whoever ends a job may fetch the next in the same step. Not while a fetch of another kind is under way, if they go
   * through several connections: they would come out of order. Nor while more can be fetched at once than ends here.
   */
  begin(): boolean {
    const room = this.#host.room(this)
    if (!this.#isOpen || (this.#isOrdered ? room < 0 : this.#isFetching || room !== 0)) return false
    this.#ending++
    return true
  }

  /** That fetch is over. */
  over(): void {
    this.#ending--
    this.look()
  }

  get isFetching(): boolean {
    return this.#isFetching || (!this.#isOrdered && this.#ending > 0)
  }

  get backend(): IQueueBackend {
    return this.fetcher.backend
  }

  /** A token that nobody else has. */
  token(): string {
    return `${this.name}:${(this.#tokens++).toString(36)}`
  }

  /** Stops fetching; what is under way is still handed over. */
  async stop(): Promise<void> {
    if (!this.#isOpen) return this.#isOver
    this.#isOpen = false
    this.#stopStalledTimer?.()
    this.#wake?.()
    // BullMQ first waits for the connection, which may never be there again.
    this.backend.disconnectBlocking(false).catch(() => {})
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
      try {
        const { count, until } = await this.#fetch(Math.min(room, most))
        // As long as there are enough, more are asked for at a time.
        most = count > 0 ? most * 2 : 1
        if (most > MOST_AT_ONCE) most = MOST_AT_ONCE
        this.#isFetching = false
        if (count === 0 && this.#isOpen) await this.#waitForJob(until)
      } catch {
        this.#isFetching = false
        await this.#pause(AFTER_A_FAULT)
      }
    }
  }

  async #fetch(most: number): Promise<{ count: number; until: number }> {
    const tokens = Array.from({ length: most }, () => this.token())
    this.leased += most
    const fetched = await this.fetcher.claim(tokens).finally(() => {
      this.leased -= most
    })
    // BullMQ's answer without a job has an id that is none.
    const jobs = fetched.flatMap(([token, [json, id]]) => (json && id ? [{ token, json, id }] : []))
    // From several connections they come in any order.
    jobs.sort((one, other) => byAge(aged(one), aged(other)))
    for (const { token, json, id } of jobs) this.#host.fetched(this, json, id, token)
    const until = Math.max(0, ...fetched.map(([, [, , , due]]) => due ?? 0))
    return { count: jobs.length, until }
  }

  async #waitForJob(until: number): Promise<void> {
    const now = Date.now()
    const due = until > 0 ? (until - now) / 1000 : LONGEST_WAIT
    if (due <= 0) return
    const seconds = Math.max(this.backend.minimumBlockTimeout, Math.min(due, LONGEST_WAIT))
    const found = await this.#jobOrEnd(this.backend.waitForJob(seconds))
    // The marker of a job that is due later.
    if (found !== null && found.score > Date.now() + 1)
      await this.#pause(Math.min(found.score - Date.now(), 100))
  }

  #jobOrEnd<T>(waiting: Promise<T>): Promise<T | null> {
    return new Promise((resolve, reject) => {
      this.#endWait = () => resolve(null)
      waiting.then(resolve, reject)
    })
  }

  #roomOrEnd(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
      if (!this.#isOpen) this.#wake()
    })
  }

  /** Over at once when the feed is stopped. */
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
  #lookForStalled(): void {
    if (!this.#isOpen) return
    void this.#takeOver()
    this.#stopStalledTimer = this.#clock.timer(stalledInterval(this.#lease), () => this.#lookForStalled())
  }

  async #takeOver(): Promise<void> {
    if (await this.#host.mayTakeOver()) await this.backend.moveStalledJobsToWait().catch(() => {})
  }
}

function aged({ id, json }: { id: string; json: JobJson }): { id: string; at: number } {
  return { id, at: json.timestamp }
}
