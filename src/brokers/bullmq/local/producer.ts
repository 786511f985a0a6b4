/**
 * Writes what was accepted: in the order in which it came, many at a time, and again until the store has it. A job whose
 * response is not over is written when somebody wants it to be safe: as a job that is due much later, which is put off
 * again and again for as long as this process lives. Should the process die, another one runs the job.
 */
import { setImmediate } from 'node:timers/promises'
import type { JobRecord } from '../../../rules/job-record.ts'
import type { Clock } from '../../../words/clock.ts'
import { isTerminal } from '../../../words/job.ts'
import { queueOf } from '../queues.ts'
import { toData, toNewJob } from '../store/job-data.ts'
import { type Retries, within } from '../store/retry.ts'
import { lockOfKey, type SharedStore } from '../store/shared-store.ts'
import type { NewJob } from '../store/stored-job.ts'
import type { LocalJobs } from './local-jobs.ts'

// How long a held job lies in the store before another process takes it up.
const HOLD = 60_000
// A store that keeps the order takes small parts, and works on one while the next is made.
const PART = 25
const PARTS_AT_ONCE = 32
const MOST_AT_ONCE = 1000

interface Prepared {
  readonly job: JobRecord
  readonly queue: string
  readonly made: NewJob
}

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
  /** Milliseconds after which a job that waits for another is looked at again. */
  readonly recheck: number
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
    this.#parts.retries.see(() => this.#publish(job))
  }

  async #publish(job: JobRecord): Promise<void> {
    const { store, clock, local, recheck } = this.#parts
    const queue = queueOf(job.entry)
    const id = local.idOf(job)
    const line = local.lineOf(job)
    const data = toData(job, clock, line, false)
    await store.update(queue, id, data)
    const wait = Math.round((job.extras?.dueAt ?? 0) - clock.now())
    const isFirst = line === undefined || (await store.join(line, queue, id)).isFirst
    if (isFirst && wait > 0) return store.delay(queue, id, wait)
    const { key } = data
    const isNext = isFirst && (key === undefined || (await store.join(lockOfKey(key), queue, id)).isFirst)
    if (isNext) await store.promote(queue, id)
    else await store.delay(queue, id, recheck)
  }

  /** Held jobs in the store are put off for as long as this process lives. */
  #arm(): void {
    const { clock, local, store } = this.#parts
    this.#stopTimer ??= clock.timer(HOLD / 3, () => {
      this.#stopTimer = undefined
      const held = [...local.heldInStore()]
      for (const job of held) store.delay(queueOf(job.entry), local.idOf(job), HOLD).catch(() => {})
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
      // One part after the other: the order in a lock is the order of arrival.
      const prepared = await this.#retry(() => this.#prepareAll(jobs))
      const written = this.#write(jobs, prepared).then(() => {
        underWay.delete(written)
        this.#written(jobs.length)
      })
      underWay.add(written)
      if (underWay.size < (isOrdered ? PARTS_AT_ONCE : 1)) await setImmediate()
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

  /** Until it succeeds, or nothing is written any more. */
  #retry<T>(step: () => Promise<T>): Promise<T | undefined> {
    const { retries } = this.#parts
    return retries.retry(async () => (this.#isClosed ? undefined : step())).catch(() => undefined)
  }

  /** Adding is the same when it is done twice: the store knows the ids. */
  async #write(jobs: readonly Written[], prepared: readonly Prepared[] | undefined): Promise<void> {
    let given = prepared
    await this.#retry(async () => {
      // After a fault it is later, and others may stand first at their locks.
      const now = given ?? (await this.#prepareAll(jobs))
      given = undefined
      await this.#send(now)
    })
  }

  async #send(prepared: readonly Prepared[]): Promise<void> {
    const { store, local } = this.#parts
    const byQueue = Map.groupBy(prepared, ({ queue }) => queue)
    await Promise.all(
      [...byQueue].map(async ([queue, some]) => {
        const made = some.map((one) => one.made)
        const ids = await store.insert(queue, made)
        for (const [
          at,
          {
            job,
            made: { id },
          },
        ] of some.entries()) {
          if (ids[at] === id) local.arrived(job)
          else local.isDuplicate(job)
        }
      }),
    )
  }

  async #prepareAll(jobs: readonly Written[]): Promise<Prepared[]> {
    const prepared: Prepared[] = []
    for (const job of jobs) {
      const made = this.#prepare(job)
      prepared.push(made instanceof Promise ? await made : made)
    }
    return prepared
  }

  #prepare({ job, isHeld }: Written): Prepared | Promise<Prepared> {
    const { clock, local } = this.#parts
    const id = local.idOf(job)
    const queue = queueOf(job.entry)
    const line = local.lineOf(job)
    const data = toData(job, clock, line, isHeld)
    const made = (delay: number): Prepared => ({ job, queue, made: toNewJob(id, job, data, clock, delay) })
    if (isHeld) return made(HOLD)
    if (line === undefined && job.extras?.key === undefined) return made(this.#timeToWait(job))
    return this.#delay(job, queue, id, line).then(made)
  }

  /** To the lock of its batch, then to its time, then to its key's lock: as far as it comes now. */
  async #delay(job: JobRecord, queue: string, id: string, line: string | undefined): Promise<number> {
    const { store, local, recheck } = this.#parts
    const before = this.#before.get(job)
    if (line !== undefined && before !== undefined && !isTerminal(before.state)) {
      await store.join(line, queueOf(before.entry), local.idOf(before))
    }
    if (line !== undefined && !(await store.join(line, queue, id)).isFirst) return recheck
    const wait = this.#timeToWait(job)
    const key = job.extras?.key
    if (wait > 0 || key === undefined) return wait
    return (await store.join(lockOfKey(key), queue, id)).isFirst ? 0 : recheck
  }

  #timeToWait(job: JobRecord): number {
    const dueAt = job.extras?.dueAt
    return dueAt === undefined ? 0 : Math.max(0, Math.ceil(dueAt - this.#parts.clock.now()))
  }
}
