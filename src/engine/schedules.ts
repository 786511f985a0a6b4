/**
 * Schedules: jobs that are added by the clock. On a durable broker they outlive the process, and so do their due times.
 * Where several processes share them, each run is made by the one that takes it first.
 */
// long because: the timers, the store and the turns of several processes all go by one set of due times
import type { ScheduleLease, ScheduleStore, StoredSchedule } from '../brokers/port/schedules.ts'
import { isA, isKey, KEY_EXPECTED, messageOf, refusal } from '../rules/arguments.ts'
import type { Bound } from '../rules/bounds.ts'
import { encode, read } from '../rules/codec.ts'
import type { Registry } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'
import type { Clock } from '../words/clock.ts'
import { memberOf } from '../words/describe.ts'
import { QueueFullError } from '../words/errors.ts'
import type { JobOptions } from '../words/job.ts'
import { KeepAlive } from './keep-alive.ts'
import {
  definitionOf,
  fromStored,
  infoOf,
  isSameSchedule,
  type Schedule,
  type ScheduleInfo,
  toStored,
} from './schedule-definition.ts'
import { dueRuns, mendedNext, nextAfter, readRule, type ScheduleOptions } from './schedule-times.ts'
import { OVERDUE, type StaleSchedule, StaleSchedules } from './stale-schedules.ts'

/** What schedules work with. */
export interface ScheduleParts {
  readonly registry: Registry
  /** How large payloads may be, by the number of their task. */
  readonly payloads: readonly Bound[]
  /** Where schedules are kept; null where they end with the process. */
  readonly store: ScheduleStore | null
  readonly clock: Clock
  /** Adds a job; throws what `enqueue` throws. What it returns resolves once the job is stored. */
  readonly enqueue: (task: string, payload: unknown, options: JobOptions | undefined) => () => Promise<void>
  /** False once the runtime stops: what is due then is made up at the next start. */
  readonly isRunning: () => boolean
  /** One line for whoever runs the process, when a run could not be added. */
  readonly say: (line: string) => void
  /** Tells of a schedule that the code does not name; `isFirst` is false where a line would be one of many. */
  readonly stale: (stale: StaleSchedule, isFirst: boolean) => void
}

const RETRY_AFTER = 1000
// Long enough for two processes to find that they have added the same run.
const SAME_RUN = 60_000
// Somebody may set the clock while nothing is due for a day, or the machine may sleep: timers notice neither.
const LONGEST_SLEEP = 60_000
// The wall clock was set when it has moved by more against the monotonic one.
const STEP = 1000

/** The schedules of one runtime. */
export class Schedules {
  readonly #parts: ScheduleParts
  readonly #schedules = new Map<string, Schedule>()
  /** Resolves when what the broker keeps has been read. */
  #loaded: Promise<void>
  #isLoaded: boolean
  /** How far the wall clock was from the monotonic one when the due times were last looked at. */
  #offset: number
  /** When each was set that was set before the broker was there, on the monotonic clock. */
  readonly #setAt = new Map<string, number>()
  #timerAt = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined
  /** Counts what is set and removed here: an older answer of the store must not undo it. */
  #changes = 0
  /** The ids that this process has set. What only the broker keeps does not hold up a program that looks at its jobs. */
  readonly #ownIds = new Set<string>()
  readonly #keepAlive = new KeepAlive()
  readonly #stale: StaleSchedules

  constructor(parts: ScheduleParts, opened: Promise<void>) {
    this.#parts = parts
    this.#stale = new StaleSchedules(parts.clock, parts.stale)
    const { store } = parts
    this.#isLoaded = store === null
    this.#offset = parts.clock.wall() - parts.clock.now()
    this.#loaded =
      store === null ? Promise.resolve() : this.#begin(store.lease === null ? opened : Promise.resolve())
    store?.lease?.onChange(() => {
      // What could not be read at the start is read once the store is there.
      const reloaded = this.#loaded.then(
        () => this.#reload(),
        () => {
          this.#loaded = this.#begin(Promise.resolve())
        },
      )
      reloaded.catch(() => {})
    })
  }

  /** Reads what the broker keeps. Where a store is shared, its broker sees to it that nobody waits for ever. */
  #begin(opened: Promise<void>): Promise<void> {
    const loaded = opened
      .then(() => this.#parts.store?.load() ?? [])
      .then((stored) => {
        if (!this.#isLoaded) this.#load(stored)
      })
    // `list` hears of it, and so does `ready`.
    loaded.catch(() => {})
    return loaded
  }

  /** Sets a schedule, or sets it anew. One that is unchanged goes on as it was, over restarts too. */
  set(id: string, task: string | AnyTask, payload: unknown, options: ScheduleOptions): ScheduleInfo {
    if (!isKey(id)) {
      const remedy = 'Write schedule(id, task, payload, { cron }).'
      throw refusal('schedule', 'the id', id, `${KEY_EXPECTED}, such as "nightly"`, remedy)
    }
    const { registry, clock, payloads } = this.#parts
    const entry = registry.find(task, 'schedule')
    registry.parse(entry, payload)
    const now = this.#wall()
    const rule = readRule(options, now)
    const encoded = encode(payload, 'payload', payloads[entry.index])
    const before = this.#schedules.get(id)
    const nextAt = nextAfter(rule, now, now)
    const isPaused = before?.isPaused === true
    const schedule = { id, task: entry.task.name, payload: encoded, rule, nextAt, isPaused }
    if (before !== undefined && isSameSchedule(before, schedule)) {
      this.#ownIds.add(id)
      this.#mend(before)
      // Another process may have changed it, which is not known here yet: the last call wins.
      if (this.#isLoaded && this.#lease !== null) this.#keep(before)
      this.#arm()
      return this.#infoOf(before)
    }
    this.#changes++
    this.#schedules.set(id, schedule)
    this.#ownIds.add(id)
    if (!this.#isLoaded) this.#setAt.set(id, clock.now())
    // What the broker keeps under this id may be the same schedule: then its due time counts.
    if (this.#isLoaded) this.#keep(schedule)
    this.#arm()
    return this.#infoOf(schedule)
  }

  /** Takes a schedule away; false when there was none. */
  async remove(id: string): Promise<boolean> {
    await this.#loaded
    await this.#reload()
    if (!this.#schedules.delete(id)) return false
    this.#ownIds.delete(id)
    this.#changes++
    this.#holdProcess()
    await this.#parts.store?.remove(id)
    return true
  }

  /** What a run of a schedule is to add; undefined when there is none of that id. */
  async runOf(id: string): Promise<{ readonly task: string; readonly payload: unknown } | undefined> {
    await this.#loaded
    await this.#reload()
    const schedule = this.#schedules.get(id)
    return schedule && { task: schedule.task, payload: read(schedule.payload, 'payload') }
  }

  /** Makes no more runs of a schedule, or (`isPaused` is false) makes them again, from the next one on; false when there is none. */
  async pause(id: string, isPaused: boolean): Promise<boolean> {
    await this.#loaded
    await this.#reload()
    const schedule = this.#schedules.get(id)
    if (schedule === undefined) return false
    if (schedule.isPaused === isPaused) return true
    const now = this.#wall()
    schedule.isPaused = isPaused
    if (schedule.nextAt <= now) schedule.nextAt = nextAfter(schedule.rule, schedule.nextAt, now)
    this.#changes++
    this.#keep(schedule)
    this.#arm()
    // What is asked is answered after what was said before.
    await this.#parts.store?.load()
    return true
  }

  async list(): Promise<ScheduleInfo[]> {
    await this.#loaded
    await this.#reload()
    this.#arm()
    const all = [...this.#schedules.values()].map((schedule) => this.#infoOf(schedule))
    return all.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Takes away what this process has not set; returns the ids. */
  async removeOthers(): Promise<string[]> {
    const all = await this.list()
    const others = all.filter(({ setHere }) => !setHere).map(({ id }) => id)
    const removed: string[] = []
    for (const id of others) if (!this.#ownIds.has(id) && (await this.remove(id))) removed.push(id)
    return removed
  }

  close(): void {
    this.#clearTimer?.()
    this.#timerAt = Number.NEGATIVE_INFINITY
    this.#keepAlive.close()
  }

  /** The process waits for what it has scheduled, as it does for jobs, until that is taken away or the runtime stops. */
  #holdProcess(): void {
    if (!this.#parts.isRunning()) return
    for (const id of this.#ownIds) {
      if ((this.#schedules.get(id)?.nextAt ?? Number.POSITIVE_INFINITY) < Number.POSITIVE_INFINITY) {
        this.#keepAlive.hold()
        return
      }
    }
    this.#keepAlive.letGo()
  }

  #load(stored: readonly StoredSchedule[]): void {
    const kept = new Map(stored.map((schedule) => [schedule.id, schedule]))
    this.#isLoaded = true
    for (const schedule of this.#schedules.values()) {
      const before = kept.get(schedule.id)
      const same = before && fromStored(before)
      if (same !== undefined) schedule.isPaused = same.isPaused
      if (same !== undefined && isSameSchedule(same, schedule)) {
        schedule.nextAt = same.nextAt
        continue
      }
      // Its time was found by this machine's clock, since the store's was not known yet.
      if (Math.abs(this.#wall() - this.#parts.clock.wall()) > STEP) schedule.nextAt = this.#firstRun(schedule)
      this.#keep(schedule)
    }
    this.#setAt.clear()
    for (const schedule of stored) {
      if (!this.#schedules.has(schedule.id)) this.#schedules.set(schedule.id, fromStored(schedule))
    }
    this.#offset = this.#wall() - this.#parts.clock.now()
    for (const schedule of this.#schedules.values()) this.#mend(schedule)
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#arm()
  }

  #firstRun({ id, rule }: Schedule): number {
    const { clock } = this.#parts
    const since = this.#wall() - (clock.now() - (this.#setAt.get(id) ?? clock.now()))
    return nextAfter(rule, since, since)
  }

  /** The time by which schedules are due. */
  #wall(): number {
    return this.#lease?.wall() ?? this.#parts.clock.wall()
  }

  /** A due time that was found while the clock was ahead would silence the schedule until then: it is found anew. */
  #mend(schedule: Schedule): void {
    const nextAt = mendedNext(schedule.rule, schedule.nextAt, this.#wall())
    if (nextAt === schedule.nextAt) return
    const before = toStored(schedule)
    schedule.nextAt = nextAt
    const lease = this.#lease
    if (lease === null) this.#keep(schedule)
    // The first process to see it has its way; the others find its time in the store.
    else void lease.complete(before, nextAt).catch(() => {})
  }

  /** Looks at the due times anew if somebody has set the clock. */
  #noteStep(): void {
    const offset = this.#wall() - this.#parts.clock.now()
    if (Math.abs(offset - this.#offset) <= STEP) return
    this.#offset = offset
    // Timers that were set go by the old time.
    this.#timerAt = Number.POSITIVE_INFINITY
    for (const schedule of this.#schedules.values()) this.#mend(schedule)
  }

  #keep(schedule: Schedule): void {
    this.#parts.store?.put(toStored(schedule))
  }

  /** Other processes set, remove and run the schedules that are shared with them. */
  async #reload(): Promise<void> {
    const { store } = this.#parts
    if (store === null || store.lease === null) return
    const changes = this.#changes
    const stored = await store.load()
    if (changes !== this.#changes) return this.#reload()
    const before = new Map(this.#schedules)
    this.#schedules.clear()
    for (const schedule of stored) {
      const known = before.get(schedule.id)
      const isSame = known?.nextAt === schedule.nextAt && definitionOf(known) === schedule.definition
      const now = isSame ? known : fromStored(schedule)
      this.#schedules.set(schedule.id, now)
      if (!isSame) this.#mend(now)
    }
    this.#arm()
  }

  #arm(): void {
    this.#holdProcess()
    // Before the broker has told what it keeps, nothing can be said to be due.
    if (!this.#isLoaded) return
    // It has been closed, or due runs are being made: then it is called again.
    if (this.#timerAt === Number.NEGATIVE_INFINITY) return
    this.#noteStep()
    const isShared = this.#lease !== null
    let next = Number.POSITIVE_INFINITY
    for (const schedule of this.#schedules.values()) {
      if (schedule.isPaused) continue
      // A shared one waits for a process that knows its task, and is told of when there seems to be none.
      const isWaiting = isShared && !this.#isKnown(schedule)
      if (isWaiting && this.#stale.isTold(schedule.id)) continue
      next = Math.min(next, schedule.nextAt + (isWaiting ? OVERDUE : 0))
    }
    if (next >= this.#timerAt || next === Number.POSITIVE_INFINITY) return
    this.#setTimer(next)
  }

  #infoOf(schedule: Schedule): ScheduleInfo {
    return infoOf(schedule, { setHere: this.#ownIds.has(schedule.id), hasTask: this.#isKnown(schedule) })
  }

  #isKnown({ task }: Schedule): boolean {
    return this.#parts.registry.entries.some((entry) => entry.task.name === task)
  }

  #setTimer(at: number): void {
    const { clock } = this.#parts
    this.#clearTimer?.()
    this.#timerAt = at
    const longest = clock.isNeverSet === true ? Number.POSITIVE_INFINITY : LONGEST_SLEEP
    const delay = Math.min(Math.max(0, at - this.#wall()), longest)
    this.#clearTimer = clock.timer(delay, () => this.#fire())
  }

  #fire(): void {
    if (!this.#parts.isRunning()) return
    const lease = this.#lease
    if (lease !== null) return void this.#runDue(lease)
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#noteStep()
    const now = this.#wall()
    let isFull = false
    for (const schedule of this.#schedules.values()) {
      if (!schedule.isPaused && schedule.nextAt <= now && !this.#run(schedule, now)) isFull = true
    }
    if (isFull) this.#setTimer(now + RETRY_AFTER)
    else this.#arm()
  }

  /** Adds the jobs that are due and keeps the next time, both in one turn: a broker writes both or neither. */
  #run(schedule: Schedule, now: number): boolean {
    const { rule } = schedule
    // A task that a deployment has taken away may come back with the next.
    if (!this.#isKnown(schedule)) {
      schedule.nextAt = nextAfter(rule, schedule.nextAt, now)
      this.#stale.withoutTask(schedule)
      return true
    }
    if (!this.#ownIds.has(schedule.id)) this.#stale.unset(schedule)
    const { runs, next } = dueRuns(rule, schedule.nextAt, now)
    for (const at of runs) {
      const outcome = this.#add(schedule, at)
      if (outcome === 'full') {
        // Those before it are added: it goes on with this one, also if the process ends meanwhile.
        schedule.nextAt = at
        if (at !== runs[0]) this.#keep(schedule)
        return false
      }
      if (outcome === 'refused') break
    }
    schedule.nextAt = next
    this.#keep(schedule)
    return true
  }

  /** Adds the job of one run; returns what tells when it is stored, or why there is none. */
  #add({ id, task, payload }: Schedule, at: number): (() => Promise<void>) | 'full' | 'refused' {
    const { store, enqueue, say } = this.#parts
    // A run must not be added twice, by this process and by the one before it.
    const once = store === null ? undefined : { unique: { key: `schedule ${id} ${at}`, for: SAME_RUN } }
    try {
      return enqueue(task, read(payload, 'payload'), once)
    } catch (error) {
      if (isA(error, QueueFullError) || memberOf(error, 'status') === 503) return 'full'
      say(`schedule "${id}" could not add its job: ${messageOf(error)}`)
      return 'refused'
    }
  }

  get #lease(): ScheduleLease | null {
    return this.#parts.store?.lease ?? null
  }

  // ── Where several processes share the schedules ────────────────────────────────────────────────────────────────

  /** Takes what is due, as far as no other process has. */
  async #runDue(lease: ScheduleLease): Promise<void> {
    this.#noteStep()
    const isDue = (schedule: Schedule): boolean =>
      !schedule.isPaused && schedule.nextAt <= this.#wall() && this.#isKnown(schedule)
    this.#timerAt = Number.NEGATIVE_INFINITY
    const due = [...this.#schedules.values()].filter(isDue)
    const taken = await Promise.all(due.map((schedule) => this.#runOne(lease, schedule).catch(() => false)))
    if (taken.includes(false)) await this.#reload().catch(() => {})
    if (!this.#parts.isRunning()) return
    for (const schedule of this.#schedules.values())
      if (!(schedule.isPaused || this.#isKnown(schedule)) && schedule.nextAt + OVERDUE <= this.#wall())
        this.#stale.withoutTask(schedule)
    this.#timerAt = Number.POSITIVE_INFINITY
    // Whoever has taken such a one may die before it is made.
    if ([...this.#schedules.values()].some(isDue)) this.#setTimer(this.#wall() + RETRY_AFTER)
    else this.#arm()
  }

  /** False when there is nothing to make here, or no room for it. */
  async #runOne(lease: ScheduleLease, schedule: Schedule): Promise<boolean> {
    const before = toStored(schedule)
    if (!(await lease.acquire(before))) return false
    const { runs, next } = dueRuns(schedule.rule, before.nextAt, this.#wall())
    const stored: Promise<void>[] = []
    for (const at of runs) {
      // Stopped meanwhile, or full: another process makes it.
      const outcome = this.#parts.isRunning() ? this.#add(schedule, at) : 'full'
      if (outcome === 'full') {
        await lease.release(before)
        return false
      }
      if (outcome === 'refused') break
      stored.push(outcome())
    }
    // Only then: a process that dies in between leaves the run to another.
    await Promise.all(stored)
    await lease.complete(before, next)
    schedule.nextAt = next
    return true
  }
}
