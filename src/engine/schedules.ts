/** Schedules: jobs that are added by the clock. On a durable broker they outlive the process, and so do their due times. */
import type { Broker, StoredSchedule } from '../brokers/broker.ts'
import { decode, type Encoded, encode } from '../rules/codec.ts'
import type { Registry } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'
import type { Clock } from '../words/clock.ts'
import { OptionsInvalidError, QueueFullError } from '../words/errors.ts'
import type { JobOptions } from '../words/job.ts'
import { dueRuns, nextAfter, readRule, type ScheduleOptions, type ScheduleRule } from './schedule-times.ts'

/** A schedule at one moment: plain data. */
export interface ScheduleInfo {
  readonly id: string
  /** The task's name. */
  readonly task: string
  /** The next run, in milliseconds since 1970; Infinity when its pattern has no further one. */
  readonly nextAt: number
  readonly cron?: string
  readonly timeZone?: string
  readonly every?: number
  readonly missed: 'once' | 'all' | 'skip'
}

/** What schedules work with. */
export interface ScheduleParts {
  readonly registry: Registry
  readonly broker: Broker
  readonly clock: Clock
  /** Adds a job; throws what `enqueue` throws. */
  readonly enqueue: (task: string, payload: unknown, options: JobOptions | undefined) => void
  /** False once the runtime stops: what is due then is made up at the next start. */
  readonly isRunning: () => boolean
  /** One line for whoever runs the process, when a run could not be added. */
  readonly say: (line: string) => void
}

interface Schedule {
  readonly id: string
  readonly task: string
  readonly payload: Encoded
  readonly rule: ScheduleRule
  nextAt: number
}

const RETRY_AFTER = 1000
// Long enough for two processes of one file to find that they have added the same run.
const SAME_RUN = 60_000

/** The schedules of one runtime. */
export class Schedules {
  readonly #parts: ScheduleParts
  readonly #schedules = new Map<string, Schedule>()
  /** Resolves when what the broker keeps has been read. */
  readonly #loaded: Promise<void>
  #isLoaded: boolean
  #timerAt = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined

  constructor(parts: ScheduleParts, opened: Promise<void>) {
    this.#parts = parts
    const store = parts.broker.schedules
    this.#isLoaded = store === undefined
    this.#loaded =
      store === undefined
        ? Promise.resolve()
        : opened.then(() => store.load()).then((stored) => this.#load(stored))
    // `list` hears of it, and so does `ready`.
    this.#loaded.catch(() => {})
  }

  /** Sets a schedule, or sets it anew. One that is unchanged goes on as it was, over restarts too. */
  set(id: string, task: string | AnyTask, payload: unknown, options: ScheduleOptions): ScheduleInfo {
    if (typeof id !== 'string' || id === '')
      throw new OptionsInvalidError('schedule: expected an id, such as "nightly".', 'id')
    const { registry, clock } = this.#parts
    const entry = registry.find(task)
    registry.parse(entry, payload)
    const now = clock.wall()
    const rule = readRule(options, now)
    const encoded = encode(payload, 'payload')
    const before = this.#schedules.get(id)
    const schedule = { id, task: entry.task.name, payload: encoded, rule, nextAt: nextAfter(rule, now, now) }
    if (before !== undefined && definitionOf(before) === definitionOf(schedule)) return infoOf(before)
    this.#schedules.set(id, schedule)
    // What the broker keeps under this id may be the same schedule: then its due time counts.
    if (this.#isLoaded) this.#keep(schedule)
    this.#arm()
    return infoOf(schedule)
  }

  /** Takes a schedule away; false when there was none. */
  async remove(id: string): Promise<boolean> {
    await this.#loaded
    if (!this.#schedules.delete(id)) return false
    this.#parts.broker.schedules?.remove(id)
    return true
  }

  async list(): Promise<ScheduleInfo[]> {
    await this.#loaded
    return [...this.#schedules.values()].map(infoOf).sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  close(): void {
    this.#clearTimer?.()
    this.#timerAt = Number.NEGATIVE_INFINITY
  }

  #load(stored: readonly StoredSchedule[]): void {
    const kept = new Map(stored.map((schedule) => [schedule.id, schedule]))
    this.#isLoaded = true
    for (const schedule of this.#schedules.values()) {
      const same = kept.get(schedule.id)
      if (same?.definition === definitionOf(schedule)) schedule.nextAt = same.nextAt
      else this.#keep(schedule)
    }
    for (const { id, definition, nextAt } of stored) {
      if (!this.#schedules.has(id)) this.#schedules.set(id, { ...read(definition), id, nextAt })
    }
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#arm()
  }

  #keep(schedule: Schedule): void {
    const { id, nextAt } = schedule
    this.#parts.broker.schedules?.put({ id, definition: definitionOf(schedule), nextAt })
  }

  #arm(): void {
    // Before the broker has told what it keeps, nothing can be said to be due.
    if (!this.#isLoaded) return
    const next = Math.min(...[...this.#schedules.values()].map(({ nextAt }) => nextAt))
    if (next >= this.#timerAt || next === Number.POSITIVE_INFINITY) return
    this.#setTimer(next)
  }

  #setTimer(at: number): void {
    const { clock } = this.#parts
    this.#clearTimer?.()
    this.#timerAt = at
    this.#clearTimer = clock.timer(Math.max(0, at - clock.wall()), () => this.#fire())
  }

  #fire(): void {
    if (!this.#parts.isRunning()) return
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#parts.clock.wall()
    let isFull = false
    for (const schedule of this.#schedules.values()) {
      if (schedule.nextAt <= now && !this.#run(schedule, now)) isFull = true
    }
    if (isFull) this.#setTimer(now + RETRY_AFTER)
    else this.#arm()
  }

  /** Adds the jobs that are due and keeps the next time, both in one turn: a broker writes both or neither. */
  #run(schedule: Schedule, now: number): boolean {
    const { broker, registry, enqueue, say } = this.#parts
    const { id, task, payload, rule } = schedule
    // A task that a deployment has taken away may come back with the next.
    if (!registry.entries.some((entry) => entry.task.name === task)) {
      schedule.nextAt = nextAfter(rule, schedule.nextAt, now)
      say(`schedule "${id}" is due, but no task is named "${task}"`)
      return true
    }
    const { runs, next } = dueRuns(rule, schedule.nextAt, now)
    try {
      for (const at of runs) {
        const once = broker.durable ? { unique: { key: `schedule ${id} ${at}`, for: SAME_RUN } } : undefined
        enqueue(task, decode(payload), once)
        schedule.nextAt = at === runs.at(-1) ? next : at + 1
      }
    } catch (error) {
      if (error instanceof QueueFullError || statusOf(error) === 503) return false
      say(`schedule "${id}" could not add its job: ${error instanceof Error ? error.message : String(error)}`)
    }
    schedule.nextAt = next
    this.#keep(schedule)
    return true
  }
}

interface Kept {
  readonly task: string
  readonly payload: string | null | { readonly base64: string }
  readonly rule: ScheduleRule
}

function statusOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, 'status') : undefined
}

function infoOf({ id, task, rule, nextAt }: Schedule): ScheduleInfo {
  return { id, task, nextAt, ...rule }
}

function definitionOf({ task, payload, rule }: Schedule): string {
  const kept =
    payload instanceof Uint8Array ? { base64: Buffer.from(payload).toString('base64') } : (payload ?? null)
  return JSON.stringify({ task, payload: kept, rule })
}

function read(definition: string): Pick<Schedule, 'task' | 'payload' | 'rule'> {
  const { task, payload, rule } = JSON.parse(definition) as Kept
  const encoded =
    typeof payload === 'object' && payload !== null
      ? Buffer.from(payload.base64, 'base64')
      : (payload ?? undefined)
  return { task, payload: encoded, rule }
}
