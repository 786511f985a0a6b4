/** Accepted jobs on their way to the store: written in the order they came, many at a time, and again until it has them. */
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { JobJson } from 'bullmq'
import type { JobRecord } from '../../rules/job-record.ts'
import type { Clock } from '../../words/clock.ts'
import { isTerminal } from '../../words/job.ts'
import { lineOfKey, memberOf } from './lines.ts'
import type { Store } from './store.ts'
import { toData, toJson } from './stored-job.ts'

/** What the outbox asks of the broker. */
export interface OutboxHost {
  readonly clock: Clock
  idOf(job: JobRecord): string
  queueOf(job: JobRecord): string
  /** The line of the batch that the job is in. */
  lineOf(job: JobRecord): string | undefined
  /** The store has the job; `isDuplicate`: it has an equal one instead. */
  arrived(job: JobRecord, isDuplicate: boolean): void
}

/** How long a job whose response is not over lies in the store before another process takes it up. */
export const HOLD = 60_000
// A store that keeps the order takes small parts, and works on one while the next is made.
const PART = 25
const PARTS_AT_ONCE = 32
const MOST_AT_ONCE = 1000
const FIRST_WAIT = 100
const LONGEST_WAIT = 2000

interface Entry {
  readonly job: JobRecord
  readonly held: boolean
}

interface Prepared {
  readonly job: JobRecord
  readonly id: string
  readonly queue: string
  readonly json: JobJson
}

/** Writes what was accepted. */
export class Outbox {
  readonly #store: Store
  readonly #host: OutboxHost
  /** Milliseconds after which a job that stands in a line is looked at again. */
  readonly #recheck: number
  readonly #before = new WeakMap<JobRecord, JobRecord>()
  /** In the order in which they came. */
  readonly #waiting = new Map<JobRecord, Entry>()
  #isWriting = false
  #isSet = false
  #isOpen = false
  #isClosed = false
  #writing = 0

  constructor(store: Store, host: OutboxHost, recheck: number) {
    this.#store = store
    this.#host = host
    this.#recheck = recheck
  }

  /** Jobs that the store does not have yet. */
  get size(): number {
    return this.#waiting.size + this.#writing
  }

  /** The store can be written to. */
  open(): void {
    this.#isOpen = true
    this.#flushSoon()
  }

  close(): void {
    this.#isClosed = true
  }

  /** Takes a job; `held`: its response is not over, but somebody wants it to be safe already. */
  add(job: JobRecord, held: boolean): void {
    this.#waiting.set(job, { job, held })
    this.#flushSoon()
  }

  /** A job that knows of no line is to be entered into the other's, before it. */
  enterFirst(job: JobRecord, before: JobRecord): void {
    this.#before.set(job, before)
  }

  /** True while the store does not have the job, and is not about to. */
  has(job: JobRecord): boolean {
    return this.#waiting.has(job)
  }

  /** Waits until all is written, but not longer than so many milliseconds. */
  async settle(most: number): Promise<void> {
    const deadline = Date.now() + most
    while (this.size > 0 && Date.now() < deadline) await setTimeout(5)
  }

  /** Takes a job back that is not being written; false when it is, or was. */
  takeBack(job: JobRecord): boolean {
    return this.#waiting.delete(job)
  }

  #flushSoon(): void {
    if (this.#isSet || this.#isWriting || !this.#isOpen || this.#waiting.size === 0) return
    this.#isSet = true
    this.#host.clock.soon(() => {
      this.#isSet = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const { isOrdered } = this.#store
    const underWay = new Set<Promise<void>>()
    this.#isWriting = true
    while (this.#waiting.size > 0 && !this.#isClosed) {
      const entries = this.#take(isOrdered ? PART : MOST_AT_ONCE)
      this.#writing += entries.length
      // One part after the other: the order in a line is the order of arrival.
      const prepared = await this.#insist(() => this.#prepareAll(entries))
      const written = this.#write(entries, prepared).then(() => {
        underWay.delete(written)
        this.#writing -= entries.length
      })
      underWay.add(written)
      if (underWay.size < (isOrdered ? PARTS_AT_ONCE : 1)) await setImmediate()
      else await Promise.race(underWay)
    }
    this.#isWriting = false
  }

  #take(most: number): Entry[] {
    const entries: Entry[] = []
    for (const [job, entry] of this.#waiting) {
      if (entries.length === most) break
      entries.push(entry)
      this.#waiting.delete(job)
    }
    return entries
  }

  async #insist<T>(step: () => T | Promise<T>): Promise<T | undefined> {
    for (let wait = FIRST_WAIT; !this.#isClosed; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        return await step()
      } catch {
        await setTimeout(wait)
      }
    }
    return undefined
  }

  /** Adding is the same when it is done twice: BullMQ knows the ids. */
  async #write(entries: readonly Entry[], prepared: readonly Prepared[] | undefined): Promise<void> {
    let jobs = prepared
    await this.#insist(async () => {
      // After a fault it is later, and others may stand first in their lines.
      const given = jobs ?? (await this.#prepareAll(entries))
      jobs = undefined
      await this.#send(given)
    })
  }

  async #send(prepared: readonly Prepared[]): Promise<void> {
    const byQueue = Map.groupBy(prepared, ({ queue }) => queue)
    await Promise.all(
      [...byQueue].map(async ([queue, jobs]) => {
        const { backend } = this.#store.queue(queue)
        const ids = await backend.addJobs(
          jobs.map(({ id, json }) => ({ job: json, jobId: id, parentKeyOpts: {} })),
        )
        for (const [index, { job, id }] of jobs.entries()) this.#host.arrived(job, ids[index] !== id)
      }),
    )
  }

  async #prepareAll(entries: readonly Entry[]): Promise<Prepared[]> {
    const prepared: Prepared[] = []
    for (const entry of entries) {
      const made = this.#prepare(entry)
      prepared.push(made instanceof Promise ? await made : made)
    }
    return prepared
  }

  #prepare({ job, held }: Entry): Prepared | Promise<Prepared> {
    const { clock } = this.#host
    const id = this.#host.idOf(job)
    const queue = this.#host.queueOf(job)
    const line = this.#host.lineOf(job)
    const data = toData(job, clock, line, held)
    const made = (delay: number): Prepared => ({ job, id, queue, json: toJson(id, job, data, clock, delay) })
    if (held) return made(HOLD)
    if (line === undefined && job.extras?.key === undefined) return made(this.#timeToWait(job))
    return this.#delay(job, queue, id, line).then(made)
  }

  /** Into the line of its batch, then to its time, then into its key's line: as far as it comes now. */
  async #delay(job: JobRecord, queue: string, id: string, line: string | undefined): Promise<number> {
    const member = memberOf(queue, id)
    const before = this.#before.get(job)
    if (line !== undefined && before !== undefined && !isTerminal(before.state)) {
      await this.#store.join(line, memberOf(this.#host.queueOf(before), this.#host.idOf(before)))
    }
    if (line !== undefined && !(await this.#store.join(line, member)).isFirst) return this.#recheck
    const wait = this.#timeToWait(job)
    const key = job.extras?.key
    if (wait > 0 || key === undefined) return wait
    return (await this.#store.join(lineOfKey(key), member)).isFirst ? 0 : this.#recheck
  }

  #timeToWait(job: JobRecord): number {
    const dueAt = job.extras?.dueAt
    return dueAt === undefined ? 0 : Math.max(0, Math.ceil(dueAt - this.#host.clock.now()))
  }
}
