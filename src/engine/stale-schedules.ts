/**
 * Schedules that a broker keeps and the code of this process does not name: a deploy took them away, and they would run
 * for years, or never. Each is told of once; whoever runs the process decides.
 */
import type { Clock } from '../words/clock.ts'
import type { RuntimeEvents } from '../words/events.ts'
import type { Schedule } from './schedule-definition.ts'

/** What is told of such a schedule. */
export type StaleSchedule = RuntimeEvents['schedule:stale']

// A program sets its schedules as it starts: before that it cannot be told which it does not set.
const STARTED_AFTER = 10_000
/** Where several processes share schedules, one of them may have the task: it would have made the run by then. */
export const OVERDUE = 60_000

/** Finds schedules that are stale. */
export class StaleSchedules {
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #tell: (stale: StaleSchedule, isFirst: boolean) => void
  readonly #told = new Set<string>()
  #hasToldUnset = false

  /** `tell`: `isFirst` is false for a schedule of a kind that a line was written of already. */
  constructor(clock: Clock, tell: (stale: StaleSchedule, isFirst: boolean) => void) {
    this.#clock = clock
    this.#startedAt = clock.now()
    this.#tell = tell
  }

  /** A schedule is due whose task the runtime does not have. */
  withoutTask({ id, task }: Schedule): void {
    if (this.#told.has(id)) return
    this.#told.add(id)
    this.#tell({ schedule: { id, task }, reason: 'no-task' }, true)
  }

  /** A schedule makes a run that this process, the only one, has not set. */
  unset({ id, task }: Schedule): void {
    if (this.#told.has(id) || this.#clock.now() - this.#startedAt < STARTED_AFTER) return
    this.#told.add(id)
    this.#tell({ schedule: { id, task }, reason: 'not-set' }, !this.#hasToldUnset)
    this.#hasToldUnset = true
  }

  /** It was told of, and is not told of again: until when a look at it can wait. */
  isTold(id: string): boolean {
    return this.#told.has(id)
  }
}
