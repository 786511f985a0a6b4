/**
 * Writes what was accepted: in the order in which it came, many at a time, and again until the store has it. A job whose
 * response is not over is written when somebody wants it to be safe: as a job that is due much later, which is put off
 * again and again for as long as this process lives. Should the process die, another one runs the job.
 */
import type { JobRecord } from '../../../rules/job-record.ts'
import type { Clock } from '../../../words/clock.ts'
import { isTerminal } from '../../../words/job.ts'
import { queueOf } from '../queues.ts'
import { toData, toNewJob } from '../store/job-data.ts'
import { type Retries, within } from '../store/retry.ts'
import { locksOf, type SharedStore } from '../store/shared-store.ts'
import type { NewJob } from '../store/stored-job.ts'
import type { LocalJobs } from './local-jobs.ts'

// How long a held job lies in the store before another process takes it up.
const HOLD = 60_000
// A store that keeps the order takes small parts, and works on one while the next is made.
const PART = 25
const PARTS_AT_ONCE = 32
const MOST_AT_ONCE = 1000

interface Written {
  readonly job: JobRecord
  readonly isHeld: boolean
}

/** What the producer is made of. */
export interface ProducerParts {
  readonly store: SharedStore
  readonly retries: Retries
  readonly clock: Clock
  readonly local: LocalJobs
}

/** Takes accepted jobs to the store. */
export class Producer {
  readonly #parts: ProducerParts
  /** A job that knows of no lock is to join that of a later one, before it. */
  readonly #before = new WeakMap<JobRecord, JobRecord>()
  /** In the order in which they came. */
  readonly #buffer = new Set<JobRecord>()
  #isWriting = false
  #isSet = false
  #isOpen = false
  #isClosed = false
  #writing = 0
  #idle: PromiseWithResolvers<void> | undefined
  #stopTimer: (() => void) | undefined

  constructor(parts: ProducerParts) {
    this.#parts = parts
  }

  /** Jobs that the store does not have yet. */
  get size(): number {
    return this.#buffer.size + this.#writing
  }

  /** The store can be written to. */
  open(): void {
    this.#isOpen = true
    this.#flushSoon()
  }

  close(): void {
    this.#isClosed = true
    this.#stopTimer?.()
  }

  /** Takes a job; `isHeld`: its response is not over, but somebody wants it to be safe already. */
  add(job: JobRecord, isHeld: boolean): void {
    this.#parts.local.buffered(job, isHeld)
    this.#buffer.add(job)
    if (isHeld) this.#arm()
    this.#flushSoon()
  }

  /** A job that knows of no lock is to join the other's, before it. */
  enterFirst(job: JobRecord, before: JobRecord): void {
    this.#before.set(job, before)
  }

  /** Takes a job back that is not being written yet. */
  takeBack(job: JobRecord): void {
    this.#buffer.delete(job)
  }

  /** Waits until all is written, but not longer than so many milliseconds. */
  async settle(most: number): Promise<void> {
    if (this.size === 0) return
    this.#idle ??= Promise.withResolvers()
    await within(this.#parts.clock, most, this.#idle.promise)
  }

  /** A held job that lies in the store may run. */
  publish(job: JobRecord): void {
    const { store, retries } = this.#parts
    retries.see(() => store.release(queueOf(job.entry), this.#made(job, false)))
  }

  /** Held jobs in the store are put off for as long as this process lives. */
  #arm(): void {
    const { clock, local, store } = this.#parts
    this.#stopTimer ??= clock.timer(HOLD / 3, () => {
      this.#stopTimer = undefined
      const held = [...local.heldInStore()]
      for (const job of held) store.hold(queueOf(job.entry), local.idOf(job), HOLD).catch(() => {})
      if (held.length > 0 || this.size > 0) this.#arm()
    })
  }

  #flushSoon(): void {
    if (this.#isSet || this.#isWriting || !this.#isOpen || this.#buffer.size === 0) return
    this.#isSet = true
    this.#parts.clock.soon(() => {
      this.#isSet = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const { isOrdered } = this.#parts.store
    const underWay = new Set<Promise<void>>()
    this.#isWriting = true
    while (this.#buffer.size > 0 && !this.#isClosed) {
      const jobs = this.#take(isOrdered ? PART : MOST_AT_ONCE)
      this.#writing += jobs.length
      const written = this.#write(jobs).then(() => {
        underWay.delete(written)
        this.#written(jobs.length)
      })
      underWay.add(written)
      // Jobs with locks join them before they are added: what comes next must not pass them.
      const isLocked = jobs.some(
        ({ job }) => locksOf({ line: this.#parts.local.lineOf(job), key: job.extras?.key }).length > 0,
      )
      if (isLocked) await written
      else if (underWay.size < (isOrdered ? PARTS_AT_ONCE : 1))
        await new Promise<void>((resolve) => this.#parts.clock.soon(resolve))
      else await Promise.race(underWay)
    }
    this.#isWriting = false
  }

  #written(jobs: number): void {
    this.#writing -= jobs
    if (this.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #take(most: number): Written[] {
    const taken: Written[] = []
    for (const job of this.#buffer) {
      if (taken.length === most) break
      this.#buffer.delete(job)
      taken.push({ job, isHeld: this.#parts.local.writing(job) })
    }
    return taken
  }

  /** Until the store has them, or nothing is written any more. Adding is the same when it is done twice: it knows the ids. */
  async #write(jobs: readonly Written[]): Promise<void> {
    const { store, local, retries } = this.#parts
    const send = async (): Promise<void> => {
      if (this.#isClosed) return
      const byQueue = Map.groupBy(jobs, ({ job }) => queueOf(job.entry))
      await Promise.all(
        [...byQueue].map(async ([queue, some]) => {
          // After a fault it is later than it was.
          const ids = await store.insert(
            queue,
            some.map(({ job, isHeld }) => this.#made(job, isHeld)),
          )
          for (const [at, { job }] of some.entries()) {
            if (ids[at] === local.idOf(job)) local.arrived(job)
            else local.isDuplicate(job)
          }
        }),
      )
    }
    // Only the end of everything ends the tries: what was not written is told as lost then.
    await retries.retry(send).catch(() => {})
  }

  #made(job: JobRecord, isHeld: boolean): NewJob {
    const { clock, local } = this.#parts
    const line = local.lineOf(job)
    const data = toData(job, clock, line, isHeld)
    const made = toNewJob(local.idOf(job), job, data, clock, isHeld ? HOLD : this.#timeToWait(job))
    const before = this.#before.get(job)
    if (before === undefined || isTerminal(before.state)) return made
    return { ...made, behind: { queue: queueOf(before.entry), id: local.idOf(before) } }
  }

  #timeToWait(job: JobRecord): number {
    const dueAt = job.extras?.dueAt
    return dueAt === undefined ? 0 : Math.max(0, Math.ceil(dueAt - this.#parts.clock.now()))
  }
}
