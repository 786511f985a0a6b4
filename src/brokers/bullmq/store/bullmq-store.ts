/** What the stores in Redis and in PostgreSQL have in common: BullMQ's queues, and the rules of locks. */
import type { Queue } from 'bullmq'
import type { BullmqSettings } from '../options.ts'
import { toJson } from './bullmq-jobs.ts'
import { Directory } from './directory.ts'
import { EndedJobs } from './ended-jobs.ts'
import type { Retention } from './queue-options.ts'
import type { JobSource, Opening, Place, ScheduleTable, SharedStore } from './shared-store.ts'
import type { NewJob, WrittenData } from './stored-job.ts'

// A job joins a lock before it is added to its queue: one that is in no queue after this time never will be.
const NEVER_ADDED_AFTER = 30_000

/** A store over queues of BullMQ. */
export abstract class BullmqStore implements SharedStore {
  abstract readonly isOrdered: boolean
  protected readonly settings: BullmqSettings
  protected isClosed = false
  #opening: Opening | undefined
  #directory!: Directory
  #ended!: EndedJobs

  constructor(settings: BullmqSettings) {
    this.settings = settings
  }

  open(opening: Opening): Promise<void> {
    const { clock, queues, retention } = opening
    this.#opening = opening
    this.#ended = new EndedJobs(() => this.queue('ended'), retention.age)
    const queue = this.queue.bind(this)
    this.#directory = new Directory({ queues, ended: this.#ended, clock, queue })
    return this.connect(opening)
  }

  get directory(): Directory {
    return this.#directory
  }

  protected get retention(): Retention {
    return this.#opening?.retention ?? { count: 0, age: 0 }
  }

  protected get ended(): EndedJobs {
    return this.#ended
  }

  abstract get schedules(): ScheduleTable
  protected abstract connect(opening: Opening): Promise<void>
  /** The queue of a name, for everything but claiming. */
  abstract queue(name: string): Queue
  abstract source(queue: string, name: string): JobSource
  abstract ping(): Promise<unknown>
  abstract uptime(): Promise<number>
  abstract reconnect(): void
  abstract publish(topic: string, text: string): void
  abstract promote(queue: string, id: string): Promise<void>
  abstract close(): Promise<void>
  /** Joins a lock, unless the member waits for it already, and looks who is first. */
  protected abstract enter(lock: string, member: string): Promise<Place>
  /** Leaves a lock; resolves to who is first now. `stop`: no other may follow. */
  protected abstract exit(lock: string, member: string, stop: boolean): Promise<string | undefined>

  // ── Jobs on their way ──────────────────────────────────────────────────────────────────────────────────────────

  insert(queue: string, jobs: readonly NewJob[]): Promise<readonly string[]> {
    const wall = Date.now()
    const given = jobs.map((job) => ({ job: toJson(job, wall), jobId: job.id, parentKeyOpts: {} }))
    return this.queue(queue).backend.addJobs(given)
  }

  update(queue: string, id: string, data: WrittenData): Promise<void> {
    return this.queue(queue).backend.updateData({ id, opts: {} } as never, data as never)
  }

  delay(queue: string, id: string, milliseconds: number): Promise<void> {
    return this.queue(queue).backend.changeDelay(id, milliseconds)
  }

  // ── Locks ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async join(lock: string, queue: string, id: string): Promise<Place> {
    const member = `${queue}|${id}`
    for (;;) {
      const place = await this.enter(lock, member)
      if (place.isFirst || !(await this.#isGone(place))) return place
      await this.exit(lock, place.head, false)
    }
  }

  async leave(lock: string, queue: string, id: string, stop: boolean): Promise<void> {
    const next = await this.exit(lock, `${queue}|${id}`, stop)
    if (next === undefined) return
    const [nextQueue, nextId] = split(next)
    // It may be on its way into the queue, or running already: then there is nothing to do.
    await this.promote(nextQueue, nextId)
  }

  /** The head of a lock has ended, or never came to its queue. */
  async #isGone({ head, since }: Place): Promise<boolean> {
    const [queue, id] = split(head)
    const state = await this.queue(queue).backend.getState(id)
    if (state === 'unknown') return Date.now() - since > NEVER_ADDED_AFTER
    return state === 'completed' || state === 'failed'
  }
}

function split(member: string): [queue: string, id: string] {
  const at = member.indexOf('|')
  return [member.slice(0, at), member.slice(at + 1)]
}
