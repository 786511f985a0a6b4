/**
 * Schedules of all processes with one prefix. Each process has its own copy and its own timers; the store says which of
 * them makes a run. Processes tell each other of changes, and look for themselves as well, since messages can get lost.
 */
import type { Clock } from '../../../words/clock.ts'
import { every } from '../../lifecycle/every.ts'
import type { Retries } from '../../lifecycle/retries.ts'
import type { ScheduleLease, ScheduleStore, StoredSchedule } from '../../port/schedules.ts'
import type { ScheduleTable, SharedStore } from './shared-store.ts'

/** The topic on which every process hears that schedules were set or removed. */
export const SCHEDULES_TOPIC = 'schedules'

// A run whose process died while it added the job is made by another after so long, before it counts as missed.
const TURN = 5000
const LOOK_EVERY = 30_000

/** Asks the store; rejects once the patience is over. */
export type Ask = <T>(question: () => Promise<T>) => Promise<T>

/** The schedules that this process shares with others. */
export class ClusterSchedules implements ScheduleStore {
  readonly lease: ScheduleLease
  readonly #store: SharedStore
  readonly #retries: Retries
  readonly #clock: Clock
  readonly #owner: string
  readonly #ask: Ask
  /** One change after the other, in the order in which they were made. */
  #changes: Promise<void> = Promise.resolve()
  #changed: () => void = () => {}
  #stop = (): void => {}
  #isClosed = false
  /** What the store had when it was looked at last, and what was put there since. */
  readonly #known = new Map<string, StoredSchedule>()
  /** Of the data that this was. */
  #era: string | undefined
  /** Of each schedule, how many runs this process has taken, or is about to take, and has not let go of. */
  readonly #turns = new Map<string, number>()
  #settled: PromiseWithResolvers<void> | undefined

  /** `owner`: a name that no other process has. */
  constructor(store: SharedStore, retries: Retries, clock: Clock, owner: string, ask: Ask) {
    this.#ask = ask
    this.#owner = owner
    this.#store = store
    this.#retries = retries
    this.#clock = clock
    this.lease = {
      acquire: (schedule) => this.#acquire(schedule),
      release: ({ id }) => this.#release(id),
      complete: (schedule, nextAt) => this.#complete(schedule, nextAt),
      wall: () => this.#clock.wall(),
      onChange: (callback) => {
        this.#changed = callback
      },
    }
  }

  start(): void {
    this.#stop = every(this.#clock, LOOK_EVERY, () => this.look())
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  /** Resolves when no run is left with this process that another could make. */
  async settle(): Promise<void> {
    if (this.#turns.size === 0) return
    this.#settled ??= Promise.withResolvers()
    await this.#settled.promise
  }

  async #acquire(schedule: StoredSchedule): Promise<boolean> {
    const { id } = schedule
    this.#turns.set(id, (this.#turns.get(id) ?? 0) + 1)
    let isTaken = false
    try {
      isTaken = await this.#table.take(schedule, this.#owner, TURN)
    } finally {
      // Without an answer it may be ours all the same: for the others it is over after a while.
      if (!isTaken) this.#letGo(id)
    }
    return isTaken
  }

  async #release(id: string): Promise<void> {
    try {
      await this.#retries.retry(() => this.#table.release(id, this.#owner))
      this.#store.publish(SCHEDULES_TOPIC, this.#owner)
    } finally {
      this.#letGo(id)
    }
  }

  async #complete(schedule: StoredSchedule, nextAt: number): Promise<void> {
    try {
      await this.#retries.retry(() => this.#table.made(schedule, nextAt))
      if (this.#known.has(schedule.id)) this.#known.set(schedule.id, { ...schedule, nextAt })
    } finally {
      this.#letGo(schedule.id)
    }
  }

  #letGo(id: string): void {
    const left = (this.#turns.get(id) ?? 1) - 1
    if (left > 0) return void this.#turns.set(id, left)
    this.#turns.delete(id)
    if (this.#turns.size > 0) return
    this.#settled?.resolve()
    this.#settled = undefined
  }

  /** A message has come. */
  heard(owner: string): void {
    if (owner !== this.#owner) this.look()
  }

  /** There may be news. */
  look(): void {
    if (!this.#isClosed) this.#changed()
  }

  load(): Promise<readonly StoredSchedule[]> {
    return this.#ask(async () => {
      await this.#changes
      await this.#restore()
      const all = await this.#table.all()
      this.#known.clear()
      for (const schedule of all) this.#known.set(schedule.id, schedule)
      return all
    })
  }

  /** A store that has lost all its data gets back what was there when this process looked last. */
  async #restore(): Promise<void> {
    const era = await this.#table.era()
    if (this.#era !== undefined && era !== this.#era)
      for (const schedule of this.#known.values()) await this.#table.put(schedule)
    this.#era = era
  }

  put(schedule: StoredSchedule): void {
    this.#known.set(schedule.id, schedule)
    // It is tried until the store has it, or everything ends.
    void this.#change(() => this.#table.put(schedule)).catch(() => {})
  }

  async remove(id: string): Promise<void> {
    this.#known.delete(id)
    let isGivenUp = false
    const removed = this.#change(async () => {
      if (!isGivenUp) await this.#table.remove(id)
    })
    // The caller, who is told that it was not done, is not to find it done later.
    await this.#ask(() => removed).catch((error: unknown) => {
      isGivenUp = true
      throw error
    })
  }

  #change(write: () => Promise<void>): Promise<void> {
    const written = this.#changes.then(() => this.#retries.retry(write))
    this.#changes = written.then(
      () => this.#store.publish(SCHEDULES_TOPIC, this.#owner),
      () => {},
    )
    return written
  }

  get #table(): ScheduleTable {
    return this.#store.schedules
  }
}
