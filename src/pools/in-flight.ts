/**
 * The jobs that are with one thread, by slot. Every job passes through here, so it is an array and a count: a map from
 * job to slot would cost each of them more than all questions about one job, which are rare, ever cost here.
 */
import type { JobRecord } from '../rules/job-record.ts'

/** Jobs by slot. Slots are given out from the lowest, so a search seldom goes far. */
export class InFlight {
  /** How many jobs there are. */
  size = 0
  readonly #bySlot: (JobRecord | null)[]
  /** All slots from here on are empty. */
  #end = 0
  /** Where the last search ended. Whoever asks about many jobs asks in the order of slots, and finds the next one here. */
  #next = 0

  constructor(slots: number) {
    this.#bySlot = new Array(slots).fill(null)
  }

  /** The job in a slot. */
  at(slot: number): JobRecord | null {
    return this.#bySlot[slot] ?? null
  }

  put(slot: number, job: JobRecord): void {
    this.#bySlot[slot] = job
    this.size++
    if (slot >= this.#end) this.#end = slot + 1
  }

  /** Empties a slot that holds a job. */
  empty(slot: number): void {
    this.#bySlot[slot] = null
    if (--this.size === 0) this.#end = 0
  }

  /** The slot of a job; -1 when it is not here. */
  slotOf(job: JobRecord): number {
    const end = this.#end
    let slot = this.#next < end ? this.#next : 0
    for (let looked = 0; looked < end; looked++) {
      if (this.#bySlot[slot] === job) {
        this.#next = slot + 1
        return slot
      }
      if (++slot === end) slot = 0
    }
    return -1
  }

  has(job: JobRecord): boolean {
    return this.slotOf(job) !== -1
  }

  /** The jobs, by slot. */
  *keys(): Generator<JobRecord> {
    for (let slot = 0; slot < this.#end; slot++) {
      const job = this.at(slot)
      if (job !== null) yield job
    }
  }

  clear(): void {
    this.#bySlot.fill(null)
    this.size = 0
    this.#end = 0
  }
}
