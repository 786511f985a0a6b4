/** Schedules in the journal: of one process, or of all that share the file. */
import { OP, type Questions } from '../../rules/journal-protocol.ts'
import type { Clock } from '../../words/clock.ts'
import type { ScheduleLease, ScheduleStore, StoredSchedule } from '../port/schedules.ts'
import type { Connection } from './connection.ts'

/** Reads, writes, and in a shared file asks whose turn it is. */
export class JournalSchedules implements ScheduleStore {
  readonly lease: ScheduleLease | null
  readonly #connection: () => Connection
  readonly #clock: () => Clock
  #changed: () => void = () => {}

  /** Both are asked for once the broker is open. */
  constructor(connection: () => Connection, clock: () => Clock, isShared: boolean) {
    this.#connection = connection
    this.#clock = clock
    this.lease = isShared ? this.#lease() : null
  }

  async load(): Promise<readonly StoredSchedule[]> {
    return (await this.#connection().ask('schedules', null)).filter(isReadable)
  }

  put({ id, definition, nextAt }: StoredSchedule): void {
    // In a shared file one that is the same keeps its time, which another process may have moved on.
    this.#connection().outbox.next.ops.push(
      OP.putSchedule,
      id,
      definition,
      nextAt,
      this.lease === null ? 0 : 1,
    )
  }

  remove(id: string): void | Promise<void> {
    this.#connection().outbox.next.ops.push(OP.removeSchedule, id)
    if (this.lease === null) return
    // What is asked is answered after what was said before.
    return this.#connection()
      .ask('schedules', null)
      .then(() => {})
  }

  /** Another process has changed something. */
  heard(): void {
    this.#changed()
  }

  #lease(): ScheduleLease {
    return {
      acquire: (schedule) => this.#ask('take', schedule),
      release: async (schedule) => void (await this.#ask('release', schedule)),
      complete: async (schedule, nextAt) => void (await this.#ask('complete', schedule, nextAt)),
      wall: () => this.#clock().wall(),
      onChange: (callback) => {
        this.#changed = callback
      },
    }
  }

  #ask(act: Questions['turn']['ask']['act'], schedule: StoredSchedule, next = 0): Promise<boolean> {
    return this.#connection().ask('turn', { act, ...schedule, next, wall: this.#clock().wall() })
  }
}

/** One definition that is damaged stays where it is, and keeps no other from being loaded. */
function isReadable({ definition }: { readonly definition: string }): boolean {
  try {
    return typeof JSON.parse(definition) === 'object'
  } catch {
    return false
  }
}
