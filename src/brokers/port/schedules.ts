/** The part of the broker port that keeps schedules. */

/** A schedule as a broker keeps it: plain data, and when it is next due. */
export interface StoredSchedule {
  readonly id: string
  /** What to run and when, as JSON. */
  readonly definition: string
  /** The wall-clock time of the next run, in milliseconds since 1970. */
  readonly nextAt: number
}

/**
 * Keeps schedules for a broker that survives the process. A change is written together with the jobs that were added in
 * the same turn of the event loop, or not at all.
 */
export interface ScheduleStore {
  load(): Promise<readonly StoredSchedule[]>
  put(schedule: StoredSchedule): void
  remove(id: string): void | Promise<void>
  /** Decides which process makes a run. Null where no other process has these schedules. */
  readonly lease: ScheduleLease | null
}

/**
 * Decides which process makes a run of a schedule that several processes share. `ScheduleStore.put` changes nothing when
 * the store has the same schedule already.
 */
export interface ScheduleLease {
  /**
   * Takes the run that is due, for some seconds. Resolves to false when another process has taken or made the run, or when
   * the schedule has been changed or removed.
   */
  acquire(schedule: StoredSchedule): Promise<boolean>
  /** Lets go of a run that was acquired and is not added after all, for another process to take. */
  release(schedule: StoredSchedule): Promise<void>
  /**
   * The run that was acquired has been added, or the due time was one that a wrong clock had made. The schedule is next due
   * at `nextAt`, if it is still as given.
   */
  complete(schedule: StoredSchedule, nextAt: number): Promise<void>
  /** The time by which schedules are due, in milliseconds since 1970: that of the store, one for all processes. */
  wall(): number
  /** Calls back when another process may have set or removed a schedule. */
  onChange(callback: () => void): void
}
