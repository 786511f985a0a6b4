/**
 * The store: BullMQ's queues, and the little that BullMQ does not have: lines, in which jobs stand one behind the other
 * whatever process they came from, and messages between processes. Redis and PostgreSQL each have one.
 */
import type { Queue } from 'bullmq'
import type { ScheduleTable } from './cluster-schedules.ts'
import type { ContactStore } from './contact.ts'
import type { Fetcher } from './fetcher.ts'

/** What a store tells. */
export interface StoreHears {
  up(): void
  down(fault: Error): void
  /** A message on one of the channels that are listened to. */
  message(channel: string, text: string): void
}

/** A job's place in a line. */
export interface Place {
  readonly isFirst: boolean
  /** Who stands first, and since when, in milliseconds since 1970. */
  readonly head: string
  readonly since: number
  /** A job of the line has ended in a way that lets no other one follow. */
  readonly isStopped: boolean
}

/** What the broker needs of Redis or PostgreSQL. */
export interface Store extends ContactStore {
  /** Whatever is asked of it takes effect in the order in which it was asked. */
  readonly isOrdered: boolean
  /** Resolves once the store has been reached and is ready for use; tries for as long as it takes. */
  open(hears: StoreHears, channels: readonly string[], retention: QueueSettings['retention']): Promise<void>
  /** The queue of a name, for everything but fetching. */
  queue(name: string): Queue
  /** The way to fetch jobs of a queue, for a process of this name: it has a connection of its own to wait on. */
  fetcher(queue: string, name: string): Fetcher
  /** Sends a message to every process that listens to the channel; may get lost, and nobody may rely on it. */
  publish(channel: string, text: string): void
  /** Enters a line, unless it is in it already, and looks who is first. */
  join(line: string, member: string): Promise<Place>
  /** Leaves a line; resolves to who is first now. `stop`: no other of the line may run. */
  leave(line: string, member: string, stop: boolean): Promise<string | undefined>
  /** Lets a delayed job come forward at once; does nothing to one that is not delayed. */
  promote(queue: string, id: string): Promise<void>
  /**
   * Notes on a job what its attempts have left behind. Fails with a code of BullMQ's when it does not belong to the token.
   */
  note(queue: string, id: string, token: string, stacktrace: string): Promise<void>
  /** The schedules of the prefix; there once the store has been opened. */
  readonly schedules: ScheduleTable
  close(): Promise<void>
}

/** What the queues of a runtime are opened with. */
export interface QueueSettings {
  readonly lease: number
  readonly retention: { readonly count: number; readonly age: number }
}

/** Which finished jobs BullMQ keeps: `true` for none; the age is in seconds. */
export function keepOf({ count, age }: QueueSettings['retention']): true | { count: number; age?: number } {
  if (count === 0) return true
  return Number.isFinite(age) ? { count, age: Math.ceil(age / 1000) } : { count }
}

/** The options of BullMQ that follow from ours. A job that stalls is judged by us, so BullMQ never gives up on one. */
export function backendOptions(settings: QueueSettings): object {
  const keep = keepOf(settings.retention)
  return {
    lockDuration: settings.lease,
    stalledInterval: stalledInterval(settings.lease),
    maxStalledCount: 1_000_000,
    removeOnComplete: keep,
    removeOnFail: keep,
  }
}

/**
 * How often workers look for jobs whose lease has run out, in milliseconds. The store lets one look in so long a time, so
 * that a look which comes a little too early is put off by another interval: two of them are at most a quarter of a lease.
 */
export function stalledInterval(lease: number): number {
  return Math.round(lease / 8)
}

/** The job does not belong to whoever wants to write, in the way in which BullMQ says it. */
export function notOurs(id: string): Error {
  return Object.assign(new Error(`The job ${id} belongs to another process, or to none.`), { code: -6 })
}
