/** What the stores in Redis and in PostgreSQL have in common: BullMQ's queues, and how jobs come to them by their locks. */
import type { Queue } from 'bullmq'
import { Secrets } from '../../../rules/secrets.ts'
import type { BullmqSettings } from '../options.ts'
import { toDataText, toJson } from './bullmq-jobs.ts'
import { Directory } from './directory.ts'
import { type StoreFault, toFault } from './faults.ts'
import type { Retention } from './queue-options.ts'
import {
  type Admitted,
  type JobSource,
  locksOf,
  type Opening,
  type ScheduleTable,
  type SharedStore,
  type StoredEnding,
} from './shared-store.ts'
import type { Entry, SourceParts } from './source.ts'
import type { NewJob } from './stored-job.ts'

// While a wrong password stays wrong, nobody gains by many tries.
const SHORTEST_WAIT = 250
const LONGEST_WAIT = 10_000

/** A store over queues of BullMQ. */
export abstract class BullmqStore implements SharedStore {
  abstract readonly isOrdered: boolean
  /** What is kept as JSON is kept as PostgreSQL's jsonb. */
  protected abstract readonly isJsonb: boolean
  protected readonly settings: BullmqSettings
  protected isClosed = false
  readonly #secrets: Secrets
  #opening!: Opening
  #directory!: Directory
  /** What went wrong last. */
  #fault: StoreFault | undefined
  #wake = (): void => {}

  constructor(settings: BullmqSettings) {
    this.settings = settings
    this.#secrets = new Secrets(settings.connection)
  }

  explain(error: unknown): StoreFault {
    this.#fault = toFault(error, this.#secrets)
    return this.#fault
  }

  /** Waits for so many milliseconds, or until `wake`. */
  protected pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Ends a pause. */
  protected wake(): void {
    this.#wake()
  }

  /** How many milliseconds to wait before the next try to connect, after one that has waited for so many. */
  protected backOff(waited: number): number {
    if (this.#fault?.isPermanent !== true) return SHORTEST_WAIT
    return Math.min(Math.max(2 * waited, LONGEST_WAIT / 10), LONGEST_WAIT)
  }

  open(opening: Opening): Promise<void> {
    const { clock, queues } = opening
    const names = async (): Promise<readonly string[]> => [
      ...new Set([...queues, ...(await this.queueNames())]),
    ]
    this.#opening = opening
    this.#directory = new Directory({
      ...{ queues, names, clock, isJsonb: this.isJsonb },
      queue: (name) => this.queue(name),
      end: (queue, id, ending) => this.endWaiting(queue, id, ending),
    })
    return this.connect(opening)
  }

  get directory(): Directory {
    return this.#directory
  }

  protected get retention(): Retention {
    return this.#opening.retention
  }

  /** What may be let go of now: nothing counts as old while the clock of the store may be wrong. */
  protected get keptNow(): Retention {
    const { retention, isSettled } = this.#opening
    return isSettled?.() === false ? { ...retention, age: Number.POSITIVE_INFINITY } : retention
  }

  /** The time by the store's clock, in milliseconds since 1970. */
  protected wall(): number {
    return this.#opening.clock.wall()
  }

  abstract get schedules(): ScheduleTable
  protected abstract connect(opening: Opening): Promise<void>
  /** The names of all queues with the prefix, those that this process has no task for included. */
  protected abstract queueNames(): Promise<readonly string[]>
  /** The queue of a name, for everything but claiming. */
  abstract queue(name: string): Queue
  abstract source(queue: string, name: string): JobSource
  abstract probe(): Promise<unknown>
  abstract time(): Promise<number>
  abstract uptime(): Promise<number>
  abstract reconnect(): void
  abstract publish(topic: string, text: string): void
  abstract leave(lock: string, queue: string, id: string, stop: boolean): Promise<void>
  abstract close(most?: number): Promise<void>
  /** Lets jobs join their locks in this order, each one lock after the other, as far as it comes. */
  protected abstract enter(entries: readonly Entry[]): Promise<readonly (Admitted | 'lost')[]>
  /** Lets a delayed job come forward; does nothing to one that is not delayed. */
  protected abstract promote(queue: string, id: string): Promise<void>
  /** Takes a job that no process runs, and ends it in the same step. False when there is no such job. */
  protected abstract endWaiting(queue: string, id: string, ending: StoredEnding): Promise<boolean>

  async insert(jobs: readonly NewJob[]): Promise<readonly string[]> {
    const entries = jobs.flatMap(entriesOf)
    const places = entries.length === 0 ? [] : await this.enter(entries)
    const behind = new Set(entries.filter((_, at) => places[at] === 'behind').map(({ id }) => id))
    const wall = this.wall()
    const ids = new Map<string, string>()
    const add = async (queue: string, some: readonly NewJob[]): Promise<void> => {
      const given = some.map((job) => {
        const placed = behind.has(job.id) ? { ...job, delay: this.#opening.recheck } : job
        return { job: toJson(placed, wall, this.isJsonb), jobId: job.id, parentKeyOpts: {} }
      })
      const added = await this.queue(queue).backend.addJobs(given)
      for (const [at, { id }] of some.entries()) ids.set(id, added[at] ?? id)
    }
    await Promise.all([...Map.groupBy(jobs, ({ queue }) => queue)].map(([queue, some]) => add(queue, some)))
    // In place of a duplicate another job is there: this one never comes.
    const duplicates = jobs.filter(({ id }) => ids.get(id) !== id)
    const left = duplicates.flatMap(({ queue, id, data }) =>
      locksOf(data).map((lock) => this.leave(lock, queue, id, false)),
    )
    await Promise.all(left)
    return jobs.map(({ id }) => ids.get(id) ?? id)
  }

  hold(queue: string, id: string, milliseconds: number): Promise<void> {
    return this.queue(queue).backend.changeDelay(id, milliseconds)
  }

  async release(job: NewJob): Promise<void> {
    const { queue, id, data, payload, delay } = job
    const { backend } = this.queue(queue)
    const written = JSON.parse(toDataText(data, payload, this.isJsonb)) as never
    await backend.updateData({ id, opts: {} } as never, written)
    const places = await this.enter(entriesOf(job))
    if (places.at(-1) === 'behind') return backend.changeDelay(id, this.#opening.recheck)
    if (delay > 0) return backend.changeDelay(id, delay)
    await this.promote(queue, id)
  }

  /** What a source is made of. */
  protected partsOf(queue: string, name: string, backend: SourceParts['backend']): SourceParts {
    return {
      ...{ queue, name, backend, isJsonb: this.isJsonb, recheck: this.#opening.recheck },
      wall: () => this.wall(),
      enter: async (entry) => (await this.enter([entry]))[0] ?? 'first',
      promote: (of, id) => this.promote(of, id),
    }
  }
}

/** Which locks a job joins as it comes: that of its key once it is due, and none for as long as its response is open. */
function entriesOf({ queue, id, data, delay, behind }: NewJob): Entry[] {
  const { line, key, held } = data
  if (held === true) return []
  const locks = locksOf(delay > 0 ? { line } : { line, key })
  if (locks.length === 0) return []
  const before = behind === undefined || line === undefined ? [] : [{ ...behind, locks: [line] }]
  return [...before, { queue, id, locks }]
}
