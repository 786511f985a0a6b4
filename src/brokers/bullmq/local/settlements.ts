/**
 * Ends of this process's jobs that other processes run: their handles settle here. Who ends a job of another process sends
 * it a message; since messages can get lost, the store is asked as well.
 */
import type { JobRecord } from '../../../rules/job-record.ts'
import { fromReadable } from '../../../rules/readable.ts'
import type { Clock } from '../../../words/clock.ts'
import { JobLostError } from '../../../words/errors.ts'
import { isTerminal, type JobState } from '../../../words/job.ts'
import { every } from '../../lifecycle/every.ts'
import { queueOfJob } from '../queues.ts'
import { originOf, type Records } from '../store/job-data.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { StoredJob } from '../store/stored-job.ts'
import type { LocalJobs } from './local-jobs.ts'

/** What is told of a job of another process: its id, how it ended, its attempts, its result or the reason if it is short. */
type Told = readonly [id: string, state: JobState | 'progress', attempts: number, value?: unknown]

const LOOK_EVERY = 5000
/** Milliseconds within which a job that is being moved has come to its place. */
const MOVED_BY = 1000
const MOST_AT_ONCE = 200
const LONGEST_VALUE = 300
const MOST_IN_A_MESSAGE = 16

/** What is told of ends. */
export interface SettlementEvents {
  /** A job of ours ended in another process. */
  endedElsewhere(job: JobRecord, id: string): void
}

/** Tells of ends, and hears of them. */
export class Settlements {
  readonly #store: SharedStore
  readonly #local: LocalJobs
  readonly #records: Records
  readonly #clock: Clock
  readonly #origin: string
  readonly #events: SettlementEvents
  /** Jobs that were not found, and when that was first. */
  readonly #missing = new Map<string, number>()
  readonly #toTell = new Map<string, Told[]>()
  #cursor: Iterator<[string, JobRecord]> | undefined
  #stop = (): void => {}
  #looking: Promise<void> | undefined

  /** `origin`: what the ids of this process's jobs start with. */
  constructor(
    store: SharedStore,
    local: LocalJobs,
    records: Records,
    clock: Clock,
    origin: string,
    events: SettlementEvents,
  ) {
    this.#store = store
    this.#local = local
    this.#records = records
    this.#clock = clock
    this.#origin = origin
    this.#events = events
  }

  /** The topic on which a process hears of its jobs. */
  static topic(origin: string): string {
    return `ends:${origin}`
  }

  start(): void {
    this.#stop = every(this.#clock, LOOK_EVERY, () => {
      this.#looking ??= this.look().finally(() => {
        this.#looking = undefined
      })
    })
  }

  close(): void {
    this.#stop()
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
    if (this.#toTell.size === 0) this.#clock.soon(() => this.#send())
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
        this.#store.publish(Settlements.topic(origin), JSON.stringify(part))
      }
    }
    this.#toTell.clear()
  }

  /** A message has come. */
  onMessage(text: string): void {
    for (const told of JSON.parse(text) as Told[]) {
      const [id, state, attempts, value] = told
      const job = this.#local.byId.get(id)
      if (job === undefined) continue
      // The news of what ran elsewhere can be faster than the answer that the store has it.
      this.#local.arrived(job)
      if (!this.#local.isAway(job)) continue
      if (state === 'progress' && typeof value === 'string') {
        job.more.progress = fromReadable(JSON.parse(value))
      } else if (state === 'completed' && value !== undefined) {
        job.state = 'completed'
        job.attempts = attempts
        job.result = (value as string | null) ?? undefined
        this.#over(job, id)
      } else {
        // After a fault the next look learns of it.
        void this.learn(job, id, told).catch(() => {})
      }
    }
  }

  #over(job: JobRecord, id: string, endedAt = this.#clock.now()): void {
    job.readyAt = Math.round(endedAt)
    this.#missing.delete(id)
    this.#events.endedElsewhere(job, id)
  }

  /** Looks up how a job of ours stands. `told`: what another process has told of it. */
  async learn(job: JobRecord, id: string, told?: Told): Promise<void> {
    const found = await this.#store.directory.find(id, queueOfJob(job))
    if (found !== undefined) return this.take(found)
    if (!(this.#local.byId.has(id) && this.#local.isAway(job))) return
    const [, state = 'progress', attempts = 0, value] = told ?? []
    if (state === 'cancelled' || state === 'skipped' || state === 'dead') {
      // The store keeps nothing of it: what was told is all there is.
      job.state = state
      job.attempts = attempts
      if (state === 'dead')
        job.more.errors = [new Error(typeof value === 'string' ? value : 'The job failed.')]
      else if (typeof value === 'string') job.more.reason = value
      return this.#over(job, id)
    }
    // A job that is being moved can be missed, by several who look at that moment.
    const now = this.#clock.now()
    const since = this.#missing.get(id) ?? now
    if (now - since < MOVED_BY) return void this.#missing.set(id, since)
    job.state = 'cancelled'
    job.more.reason = 'lost'
    job.more.errors = [...(job.more.errors ?? []), new JobLostError(job.entry.task.name, 'store')]
    this.#over(job, id)
  }

  /** Brings the record of a job up to what the store says, if it is ours and is not here. */
  take(found: StoredJob): void {
    const { id } = found
    const job = this.#local.byId.get(id)
    if (job === undefined || !this.#local.isAway(job) || isTerminal(job.state)) return
    this.#missing.delete(id)
    this.#records.update(job, found)
    this.#records.takeState(job, found)
    if (isTerminal(job.state)) this.#over(job, id, job.readyAt)
  }

  /** Asks the store about some of the jobs that are away, others each time. */
  async look(): Promise<void> {
    const asked: Promise<void>[] = []
    const { byId } = this.#local
    for (let seen = 0; seen < MOST_AT_ONCE && seen < byId.size; seen++) {
      const [id, job] = this.#next() ?? []
      if (id === undefined || job === undefined) break
      if (this.#local.isAway(job)) asked.push(this.#ask(job, id))
    }
    await Promise.allSettled(asked)
  }

  async #ask(job: JobRecord, id: string): Promise<void> {
    if (await this.#store.directory.isOver(queueOfJob(job), id)) await this.learn(job, id)
    else this.#missing.delete(id)
  }

  #next(): [string, JobRecord] | undefined {
    this.#cursor ??= this.#local.byId.entries()
    const next = this.#cursor.next()
    if (next.done !== true) return next.value
    this.#cursor = this.#local.byId.entries()
    const first = this.#cursor.next()
    return first.done === true ? undefined : first.value
  }
}
