/**
 * The jobs that this process has accepted and that are not over: whichever process runs them, their handles settle here.
 * Who ends a job of another process sends it a message; since messages can get lost, the store is asked as well.
 */
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import { isTerminal, type JobState } from '../../words/job.ts'
import type { Found, Lookups } from './lookups.ts'
import type { Store } from './store.ts'
import { fromProgress, originOf, takeEnd, toRecord } from './stored-job.ts'

/** What is told of a job of another process: its id, how it ended, its attempts, its result if it is short. */
type Told = readonly [id: string, state: JobState | 'progress', attempts: number, value?: unknown]

/** What this needs of the broker. */
export interface AcceptedHost {
  readonly clock: Clock
  queueOf(job: JobRecord): string
  /** The job lies in the store, and is not with this process. */
  isAway(job: JobRecord): boolean
  /** The store has the job. */
  arrived(job: JobRecord): void
  /** A job of ours ended elsewhere. */
  ended(job: JobRecord, id: string): void
}

const LOOK_EVERY = 5000
const MOST_AT_ONCE = 200
const LONGEST_VALUE = 300
const MOST_IN_A_MESSAGE = 16

/** Accepted, unfinished jobs by their ids. */
export class Accepted {
  readonly byId: Map<string, JobRecord>
  readonly #store: Store
  readonly #lookups: Lookups
  readonly #host: AcceptedHost
  readonly #origin: string
  /** Jobs that were not found once. */
  readonly #missing = new Set<string>()
  readonly #toTell = new Map<string, Told[]>()
  #cursor: Iterator<[string, JobRecord]> | undefined
  #stopTimer: (() => void) | undefined
  #isClosed = false

  /** `origin`: what the ids of this process's jobs start with. */
  constructor(
    store: Store,
    lookups: Lookups,
    origin: string,
    byId: Map<string, JobRecord>,
    host: AcceptedHost,
  ) {
    this.byId = byId
    this.#store = store
    this.#lookups = lookups
    this.#origin = origin
    this.#host = host
  }

  /** The channel on which a process hears of its jobs. */
  static channel(origin: string): string {
    return `ends:${origin}`
  }

  start(): void {
    if (this.#isClosed) return
    this.#stopTimer = this.#host.clock.timer(LOOK_EVERY, () => void this.look().finally(() => this.start()))
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
    this.#send()
  }

  /** Tells the process that accepted a job how it ended, and the one that let it start over. */
  tell(id: string, state: Told[1], attempts: number, value: unknown, reviver?: string): void {
    const origin = originOf(id)
    this.#tell(origin, id, state, attempts, value)
    if (reviver !== undefined && reviver !== origin) this.#tell(reviver, id, state, attempts, value)
  }

  #tell(origin: string, id: string, state: Told[1], attempts: number, value: unknown): void {
    if (origin === this.#origin) return
    if (this.#toTell.size === 0) this.#host.clock.soon(() => this.#send())
    const isShort = typeof value === 'string' ? value.length <= LONGEST_VALUE : value === undefined
    const told: Told = isShort ? [id, state, attempts, value ?? null] : [id, state, attempts]
    const list = this.#toTell.get(origin)
    if (list === undefined) this.#toTell.set(origin, [told])
    else list.push(told)
  }

  #send(): void {
    for (const [origin, list] of this.#toTell) {
      for (let at = 0; at < list.length; at += MOST_IN_A_MESSAGE) {
        const part = list.slice(at, at + MOST_IN_A_MESSAGE)
        this.#store.publish(Accepted.channel(origin), JSON.stringify(part))
      }
    }
    this.#toTell.clear()
  }

  /** A message has come. */
  heard(text: string): void {
    for (const [id, state, attempts, value] of JSON.parse(text) as Told[]) {
      const job = this.byId.get(id)
      if (job === undefined) continue
      // The news of what ran elsewhere can be faster than the answer that the store has it.
      this.#host.arrived(job)
      if (!this.#host.isAway(job)) continue
      if (state === 'progress' && typeof value === 'string') {
        job.more.progress = fromProgress(JSON.parse(value))
      } else if (state === 'completed' && value !== undefined) this.#completed(job, id, attempts, value)
      else void this.learn(job, id).catch(() => {})
    }
  }

  #completed(job: JobRecord, id: string, attempts: number, value: unknown): void {
    job.state = 'completed'
    job.attempts = attempts
    job.result = (value as string | null) ?? undefined
    job.readyAt = Math.round(this.#host.clock.now())
    this.#host.ended(job, id)
  }

  /** Looks up how a job of ours stands. */
  async learn(job: JobRecord, id: string): Promise<void> {
    const found = await this.#lookups.find(id, this.#host.queueOf(job))
    if (found !== undefined) return this.take(job, id, found)
    if (!(this.byId.has(id) && this.#host.isAway(job))) return
    // A job that is being moved can be missed once.
    if (!this.#missing.has(id)) return void this.#missing.add(id)
    job.state = 'cancelled'
    job.more.reason = 'lost'
    job.readyAt = Math.round(this.#host.clock.now())
    this.#host.ended(job, id)
  }

  /** Brings the record of a job of ours up to what the store says. */
  take(job: JobRecord, id: string, { json, data, state, queue: _ }: Found): void {
    if (this.byId.get(id) !== job || !this.#host.isAway(job) || isTerminal(job.state)) return
    const { clock } = this.#host
    this.#missing.delete(id)
    toRecord(json, data, { seq: job.seq, id: undefined, entry: job.entry, clock, known: job })
    takeEnd(job, json, data, state, clock)
    if (isTerminal(job.state)) this.#host.ended(job, id)
  }

  /** Asks the store about some of the jobs that are away, others each time. */
  async look(): Promise<void> {
    const asked: Promise<void>[] = []
    for (let seen = 0; seen < MOST_AT_ONCE && seen < this.byId.size; seen++) {
      const [id, job] = this.#next() ?? []
      if (id === undefined || job === undefined) break
      if (this.#host.isAway(job)) asked.push(this.#ask(job, id))
    }
    await Promise.allSettled(asked)
  }

  async #ask(job: JobRecord, id: string): Promise<void> {
    const state = await this.#store.queue(this.#host.queueOf(job)).backend.getState(id)
    if (state === 'completed' || state === 'failed' || state === 'unknown') await this.learn(job, id)
    else this.#missing.delete(id)
  }

  #next(): [string, JobRecord] | undefined {
    this.#cursor ??= this.byId.entries()
    const next = this.#cursor.next()
    if (next.done !== true) return next.value
    this.#cursor = this.byId.entries()
    const first = this.#cursor.next()
    return first.done === true ? undefined : first.value
  }
}
