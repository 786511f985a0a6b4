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

/** The schedules that this process shares with others. */
export class ClusterSchedules implements ScheduleStore {
  readonly lease: ScheduleLease
  readonly #store: SharedStore
  readonly #retries: Retries
  readonly #clock: Clock
  readonly #owner: string
  /** One change after the other, in the order in which they were made. */
  #changes: Promise<void> = Promise.resolve()
  #changed: () => void = () => {}
  #stop = (): void => {}
  #isClosed = false

  /** `owner`: a name that no other process has. */
  constructor(store: SharedStore, retries: Retries, clock: Clock, owner: string) {
    this.#owner = owner
    this.#store = store
    this.#retries = retries
    this.#clock = clock
    this.lease = {
      acquire: (schedule) => this.#table.take(schedule, this.#owner, TURN),
      complete: (schedule, nextAt) => this.#retries.retry(() => this.#table.made(schedule, nextAt)),
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

  /** A message has come. */
  heard(owner: string): void {
    if (owner !== this.#owner) this.look()
  }

  /** There may be news. */
  look(): void {
    if (!this.#isClosed) this.#changed()
  }

  async load(): Promise<readonly StoredSchedule[]> {
    await this.#changes
    return this.#table.all()
  }

  put(schedule: StoredSchedule): void {
    // It is tried until the store has it, or everything ends.
    void this.#change(() => this.#table.put(schedule)).catch(() => {})
  }

  remove(id: string): Promise<void> {
    return this.#change(() => this.#table.remove(id))
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
