/**
 * The engine's own record of a job. One is made for every job, a million may wait, so the fields that every job needs
 * are few and plain, and whatever only some jobs have is in `extras`.
 */
import type { JobState, ResponseFacts, TerminalState, When } from '../words/job.ts'
import type { Encoded, Snapshot } from './codec.ts'
import type { Moved } from './moved.ts'
import type { TaskEntry } from './registry.ts'
import type { WireError } from './wire-error.ts'

/** The attempts of a job that are kept: the latest. A job that is tried again for ever must not grow for ever. */
export const ATTEMPTS_KEPT = 50

/** What only some jobs have. */
export interface JobExtras {
  /** The id of a job that another process accepted; ours are made from `seq`. */
  id?: string
  /** The queue of a shared store that it lies in, where that is known from the store. */
  queue?: string
  key?: string
  uniqueKey?: string | undefined
  uniqueUntil?: number
  /** It lets go of its unique key when its first attempt starts. */
  uniqueWhile?: 'waiting'
  /** The unique key that it takes once its response is over, from whoever holds it then. */
  takesKey?: string | undefined
  /** Which responses it runs after, until that is decided. */
  when?: When | undefined
  /** Milliseconds to wait once its response is over. */
  delay?: number | undefined
  /** When it may start, on the monotonic clock. */
  dueAt?: number
  /** The time that it waits for at present: its own, or that of its next attempt. */
  waitsUntil?: number
  timeout?: number
  queueTimeout?: number
  maxAttempts?: number
  context?: JobContext
  /** What its handler is given in place of `context`, once it is sent: the trace of its attempt. */
  sentContext?: JobContext | undefined
  progress?: Encoded
  /** The unfinished job of its batch that it waits for. */
  before?: JobRecord | undefined
  failures?: number
  crashes?: number
  /** Errors of its attempts, oldest first; the last one is the job's error. */
  errors?: (WireError | Error)[]
  reason?: string | undefined
  /** The caller's AbortSignal, for as long as it can cancel the job. */
  signal?: AbortSignal | undefined
  /** It was dead and has started over: its batch is past it. */
  isRevived?: boolean
  /** When its response called for it, while it is still held: another of its batch comes first. */
  calledAt?: number | undefined
  /** The order among the jobs of a key, once it has joined the key's line. */
  nextOfKey?: JobRecord | undefined
  previousOfKey?: JobRecord | undefined
  /** True while a place among the available jobs is left of the time before it died. */
  isInRing?: boolean
  /** Why a running attempt is being ended, once it is. */
  abort?: Abort | undefined
  settle?: { promise: Promise<KeptEnd>; resolve: (end: KeptEnd) => void } | undefined
  /** Whoever waits for the broker to hold it safely. */
  storing?: {
    promise: Promise<void>
    resolve: (value?: void | PromiseLike<void>) => void
    reject: (reason?: unknown) => void
  }
  /** Its end is known here, but not yet written where the broker keeps it. */
  isUnreported?: boolean
  /** The job is over, and this is what remains of it here: it holds its unique key for a time. */
  isStub?: boolean
  /** It waits where its broker keeps it, and its record here is not told of what becomes of it. */
  isEvicted?: boolean
  /** Its record had been let go and is back, but what became of the job meanwhile is still being asked for. */
  isStale?: boolean
  /** It may have brought a process down: it travels alone. */
  isSuspect?: boolean
  /** Where the broker keeps it, its attempt is on record as running. */
  isMarked?: boolean
  /** The thread it was last sent to, and when. */
  thread?: number
  /** Milliseconds of CPU time that its last attempt took, where that was measured. */
  cpu?: number | undefined
  sentAt?: number
  /** Attempts that did not complete it, oldest first, where the broker keeps them in memory. */
  tries?: unknown[]
  /** Milliseconds that the attempt took which ended it, until that is written and can be told. */
  ran?: number
}

/** The context of a request that travels with its jobs. */
export interface JobContext {
  readonly requestId?: string
  readonly traceparent?: string
  readonly baggage?: Readonly<Record<string, string>>
}

/** How a job ended, as it is kept: whoever asks gets a copy of his own. */
export interface KeptEnd {
  readonly state: TerminalState
  readonly attempts: number
  readonly result: Encoded | Moved
  readonly error: WireError | Error | undefined
}

/** Why an attempt is being ended from outside, and when the thread is to be killed if it does not end by itself. */
export interface Abort {
  readonly why: 'timeout' | 'cancel' | 'stop' | 'lease'
  /** What the caller gave as the reason. */
  readonly reason: unknown
  /** When patience with the handler ends, on the monotonic clock. */
  killAt: number
  /** True once the thread was asked to give the attempt up, which it can if its loop still turns. */
  isGivenUp: boolean
}

/** The jobs that one HTTP request added, as the broker sees them. */
export interface BatchLink {
  readonly onFailure: 'continue' | 'stop'
  /** The facts of the response once it has settled; null for as long as its jobs are held. */
  facts: ResponseFacts | null
  /** The job is over, and that was told. */
  ended?(job: JobRecord): void
  /** The job was dead and starts over. */
  revived?(): void
  /** Of a job that several batches share: another batch is to hear of its end. */
  tell?(batch: { passed(job: JobRecord): void }): void
}

/** One accepted job. */
export class JobRecord {
  /** Counts the jobs of this runtime from 1; the id is made from it. */
  readonly seq: number
  readonly entry: TaskEntry
  state: JobState = 'available'
  /** Attempts made or under way; those that did not count are taken off again. */
  attempts = 0
  /** Milliseconds on the monotonic clock, whole so that they fit a small integer. */
  readonly acceptedAt: number
  /** When it became available; once it is over, when it was. */
  readyAt: number
  /** When the attempt started that completed it. */
  startedAt = 0
  priority: number
  /** Bytes of its payload that are counted as held in memory. */
  bytes = 0
  batch: BatchLink | null = null
  /** The job of its batch that waits for this one. */
  next: JobRecord | null = null
  extras: JobExtras | null = null
  #data: Encoded | Moved | Snapshot

  constructor(
    seq: number,
    entry: TaskEntry,
    payload: Encoded | Moved | Snapshot,
    priority: number,
    now: number,
  ) {
    this.seq = seq
    this.entry = entry
    this.#data = payload
    this.priority = priority
    this.acceptedAt = now
    this.readyAt = now
  }

  /** The rare fields, made at the first use. */
  get more(): JobExtras {
    this.extras ??= {}
    return this.extras
  }

  /** What goes in; gone once the job has completed, when the result takes its place. */
  get payload(): Encoded | Moved | Snapshot {
    return this.state === 'completed' ? undefined : this.#data
  }

  set payload(payload: Encoded | Moved | Snapshot) {
    this.#data = payload
  }

  /** What came out; set after the state `completed`. */
  get result(): Encoded | Moved {
    return this.state === 'completed' ? (this.#data as Encoded | Moved) : undefined
  }

  set result(result: Encoded | Moved) {
    this.#data = result
  }

  /** Attempts that failed. */
  get failures(): number {
    return this.extras?.failures ?? 0
  }

  set failures(failures: number) {
    this.more.failures = failures
  }

  /** Attempts that took their thread with them: counted apart. */
  get crashes(): number {
    return this.extras?.crashes ?? 0
  }

  set crashes(crashes: number) {
    this.more.crashes = crashes
  }
}
