/** The events of a runtime: their names, what each carries, and an emitter that no listener can break. */
import { type Channel, channel } from 'node:diagnostics_channel'
import type { JobState } from './job.ts'
import { hearRejection, isThenable } from './thenables.ts'

/** Who an event is about. */
export interface EventJob {
  readonly id: string
  readonly name: string
  /** The attempt it is about, counted from 1; 0 before the first. */
  readonly attempt: number
}

/** What an action was done on: one job, all jobs that fit a query, a task, a pool (none is named: all) or a schedule. */
export type AuditSubject =
  | { readonly job: string }
  | { readonly query: Readonly<Record<string, unknown>> }
  | { readonly task: string }
  | { readonly pool: string | undefined }
  | { readonly schedule: string }

/** Every event and what it carries. Durations are in milliseconds. */
export interface RuntimeEvents {
  /** A job was accepted. */
  'job:enqueued': { readonly job: EventJob; readonly state: JobState }
  /** An attempt has started on a thread; `waited` is how long the job was available. */
  'job:started': { readonly job: EventJob; readonly waited: number }
  /** The handler called `ctx.progress`. */
  'job:progress': { readonly job: EventJob; readonly progress: unknown }
  /** The handler called `ctx.log`, or printed (`from`). */
  'job:log': {
    readonly job: EventJob
    readonly level: 'debug' | 'info' | 'warn' | 'error'
    readonly message: string
    readonly data: unknown
    /** When, in milliseconds since 1970. */
    readonly at: number
    /** `log`: given to `ctx.log`. `stdout`, `stderr`: printed. `runtime`: says that lines are missing here. */
    readonly from: 'log' | 'stdout' | 'stderr' | 'runtime'
    /** The id of the request that added the job, when it had one. */
    readonly requestId?: string
    /** How many lines are missing here. */
    readonly dropped?: number
  }
  /** Terminal: the handler returned. `ran` is the attempt's run time, `total` the time since acceptance. */
  'job:completed': {
    readonly job: EventJob
    readonly result: unknown
    readonly ran: number
    readonly total: number
  }
  /** An attempt failed and another will be made after `delay`. */
  'job:retrying': { readonly job: EventJob; readonly error: Error; readonly delay: number }
  /** Terminal: no further attempt will be made. */
  'job:dead': { readonly job: EventJob; readonly error: Error; readonly total: number }
  /** Terminal: the job was cancelled. */
  'job:cancelled': { readonly job: EventJob; readonly error: Error; readonly total: number }
  /** Terminal: the job's response did not call for it. */
  'job:skipped': { readonly job: EventJob; readonly reason: string; readonly total: number }
  /** A running attempt was ended through no fault of its own; it does not count and the job is available again. */
  'job:interrupted': {
    readonly job: EventJob
    readonly reason: string
    /** LeaseLostError (`ERR_LEASE_LOST`), where that is why. */
    readonly error: Error | undefined
  }
  /**
   * An attempt ended here after its lease was lost, and the store refused its outcome, which would have made the job's
   * state `state`. The job goes on in another process.
   */
  'job:fenced': { readonly job: EventJob; readonly state: JobState; readonly error: Error }
  /** Terminal: no broker has the job. The runtime stopped first, or the store has forgotten it. */
  'job:lost': { readonly job: EventJob; readonly error: Error; readonly total: number }
  /** A thread is up. */
  'thread:started': { readonly pool: string; readonly thread: number }
  /** A thread is gone. `expected`: we ended it. `restartIn`: milliseconds, more than 0 when threads keep dying; Infinity: none can be started. */
  'thread:exited': {
    readonly pool: string
    readonly thread: number
    readonly exitCode: number
    readonly error: Error | undefined
    readonly expected: boolean
    readonly restartIn: number
  }
  /** An error escaped a handler that had already ended; `jobId` is empty when it cannot be told whose it was. */
  'thread:error': {
    readonly pool: string
    readonly thread: number
    readonly jobId: string
    readonly error: Error
  }
  /**
   * A schedule that the broker keeps is due, and the code of this process does not name it, or not its task. Told once for
   * each. `no-task`: its runs add nothing here. `not-set`: they go on; only where no other process can have set it.
   */
  'schedule:stale': {
    readonly schedule: { readonly id: string; readonly task: string }
    readonly reason: 'no-task' | 'not-set'
  }
  /**
   * Somebody has done something: called a method of the runtime that acts on jobs, tasks, pools or schedules. `by`: who, as the
   * call says. `count`: with how many it was done; 0 when there was nothing to do. `added`: the id of the job that was added.
   */
  audit: {
    readonly action:
      | 'cancel'
      | 'revive'
      | 'remove'
      | 'runNow'
      | 'change'
      | 'runAgain'
      | 'pause'
      | 'resume'
      | 'run'
      | 'unschedule'
    readonly by: string | undefined
    readonly on: AuditSubject
    readonly count: number
    readonly added: string | undefined
  }
  /** An action on all jobs that fit a query is so far: those it has come to, and those it was done with. */
  'action:progress': {
    readonly action: 'cancel' | 'revive' | 'remove' | 'runNow'
    readonly by: string | undefined
    readonly query: Readonly<Record<string, unknown>>
    readonly dryRun: boolean
    readonly matched: number
    readonly done: number
  }
  /** A promise that was given to `waitUntil` was rejected. */
  'promise:rejected': { readonly name: string; readonly error: Error }
  /** A job was refused because `maxPending` jobs are unfinished, or their payloads have `maxPendingBytes`. */
  'runtime:overloaded': {
    readonly pending: number
    readonly maxPending: number
    readonly pendingBytes: number
    readonly maxPendingBytes: number
    readonly retryAfter: number
  }
  /** Nothing can be written where the broker keeps jobs; it is tried again by itself. */
  'broker:down': { readonly error: Error }
  /** It can be written again. */
  'broker:up': { readonly downFor: number }
  /** `stop` was called. */
  'runtime:stopping': { readonly pending: number }
  /** The threads are gone. */
  'runtime:stopped': {
    readonly completed: number
    readonly failed: number
    readonly lost: number
    readonly left: number
  }
}

/** The name of an event. */
export type EventName = keyof RuntimeEvents

// A record, so that the compiler asks for each event.
const names: Readonly<Record<EventName, true>> = {
  'job:enqueued': true,
  'job:started': true,
  'job:progress': true,
  'job:log': true,
  'job:completed': true,
  'job:retrying': true,
  'job:dead': true,
  'job:cancelled': true,
  'job:skipped': true,
  'job:interrupted': true,
  'job:fenced': true,
  'job:lost': true,
  'thread:started': true,
  'thread:exited': true,
  'thread:error': true,
  'runtime:overloaded': true,
  'broker:down': true,
  'broker:up': true,
  audit: true,
  'action:progress': true,
  'promise:rejected': true,
  'schedule:stale': true,
  'runtime:stopping': true,
  'runtime:stopped': true,
}

/** The names of all events. */
export const EVENT_NAMES = Object.keys(names) as readonly EventName[]

/**
 * The events of every runtime of the process, on `node:diagnostics_channel` as `aftertask:NAME`: for tools that are loaded before
 * there is a runtime to listen to.
 */
const channels = Object.fromEntries(
  EVENT_NAMES.map((name) => [name, channel(`aftertask:${name}`)]),
) as Readonly<Record<EventName, Channel>>

type Shown<Name extends EventName> = (event: RuntimeEvents[Name]) => object

/** A listener for an event. */
export type Listener<Name extends EventName> = (event: RuntimeEvents[Name]) => void

/**
 * An emitter that contains what its listeners throw: the error goes to `onListenerError` and the next listener still
 * hears. Knows without a search whether anybody listens, so that an event nobody wants is not even put together.
 */
export class Emitter {
  readonly #listeners = new Map<EventName, Set<Listener<never>>>()
  readonly #watchers = new Map<EventName, Set<(event: object) => void>>()
  readonly #onListenerError: (name: EventName, error: unknown) => void

  constructor(onListenerError: (name: EventName, error: unknown) => void) {
    this.#onListenerError = onListenerError
  }

  on<Name extends EventName>(name: Name, listener: Listener<Name>): void {
    const listeners = this.#listeners.get(name)
    if (listeners === undefined) this.#listeners.set(name, new Set([listener as Listener<never>]))
    else listeners.add(listener as Listener<never>)
  }

  off<Name extends EventName>(name: Name, listener: Listener<Name>): void {
    const listeners = this.#listeners.get(name)
    listeners?.delete(listener as Listener<never>)
    if (listeners?.size === 0) this.#listeners.delete(name)
  }

  /**
   * Tells somebody outside of this program, until the call that is returned: what may leave it, as on the channel. It counts as
   * little as a tool there: the runtime still says on stderr what no listener hears. `watcher` must not throw.
   */
  watch(name: EventName, watcher: (event: object) => void): () => void {
    const watchers = this.#watchers.get(name) ?? new Set()
    this.#watchers.set(name, watchers.add(watcher))
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0) this.#watchers.delete(name)
    }
  }

  /** True when somebody listens, or watches from outside. */
  isWanted(name: EventName): boolean {
    return this.#listeners.has(name) || this.#watchers.has(name)
  }

  /** True when an event has to be put together: somebody listens, here or on the channel. */
  has(name: EventName): boolean {
    return this.#listeners.has(name) || channels[name].hasSubscribers || this.#watchers.has(name)
  }

  /** True when somebody listens here. A tool on the channel watches; it does not answer for the runtime. */
  isHeard(name: EventName): boolean {
    return this.#listeners.has(name)
  }

  /** `shown`: what of the event may leave this program, for tools on the channel. */
  emit<Name extends EventName>(name: Name, event: RuntimeEvents[Name], shown?: Shown<Name>): void {
    this.emitEach(name, () => event, shown)
  }

  /** Makes the event for each listener anew: what one of them does to its values is not seen by the others. */
  emitEach<Name extends EventName>(name: Name, make: () => RuntimeEvents[Name], shown?: Shown<Name>): void {
    if (channels[name].hasSubscribers) channels[name].publish(shown === undefined ? make() : shown(make()))
    for (const watcher of this.#watchers.get(name) ?? [])
      watcher(shown === undefined ? make() : shown(make()))
    const listeners = this.#listeners.get(name)
    if (listeners === undefined) return
    for (const listener of [...listeners]) {
      try {
        const outcome: unknown = (listener as Listener<Name>)(make())
        // An async listener may reject; that must not become an unhandled rejection of the server.
        if (isThenable(outcome)) hearRejection(outcome, (error) => this.#onListenerError(name, error))
      } catch (error) {
        this.#onListenerError(name, error)
      }
    }
  }
}
