/**
 * A job as it lies in the store: what is told to BullMQ, and how it is read back. `data` is written once, when the job is
 * added; `stored-progress` has what attempts leave behind.
 */
import { serialize } from 'node:v8'
import type { JobJson, JobsOptions } from 'bullmq'
import type { Encoded } from '../../rules/codec.ts'
import { decode, encode } from '../../rules/codec.ts'
import { type JobContext, JobRecord, Moved } from '../../rules/job-record.ts'
import { errorFromText, errorText } from '../../rules/journal-protocol.ts'
import type { TaskEntry } from '../../rules/registry.ts'
import { toWireError } from '../../rules/wire-error.ts'
import type { Clock } from '../../words/clock.ts'
import type { JobState, TerminalState } from '../../words/job.ts'
import type { Ended } from '../broker.ts'
import { hasCrashed, progressOf } from './stored-progress.ts'

/** The `data` of a BullMQ job of ours. Times are milliseconds since 1970; -1 stands for Infinity. */
export interface StoredData {
  /** The payload: JSON, or bytes as base64. */
  readonly p?: string | undefined
  readonly b?: string | undefined
  /** When it was accepted, and when it may start. */
  readonly a: number
  readonly d?: number | undefined
  /** After this time it is not started any more. */
  readonly q?: number | undefined
  readonly priority: number
  readonly key?: string | undefined
  /** The line of its batch, and whether a dead job stops it. */
  readonly line?: string | undefined
  readonly stops?: boolean | undefined
  readonly timeout?: number | undefined
  readonly maxAttempts?: number | undefined
  readonly context?: JobContext | undefined
  /** Its response is not over yet. */
  readonly held?: boolean | undefined
  /** Attempts that it had when it was revived: failures before that do not count. */
  readonly revived?: number | undefined
  /** What the ids of the process start with that revived it: it hears of the end as well. */
  readonly by?: string | undefined
  /** What its attempts had left behind until then. */
  readonly past?: string | undefined
  /** How it ended, when it ended without having run at the end. */
  readonly end?: StoredEnd | undefined
}

/** How a job ended that is not among BullMQ's finished jobs. */
export interface StoredEnd {
  readonly state: TerminalState
  readonly at: number
  readonly n: number
  readonly reason?: string | undefined
  readonly error?: string | undefined
  readonly queue: string
  /** What its attempts had left behind. */
  readonly past?: string | undefined
}

/** The data as it is written: what a job has by default, or what BullMQ notes of it as well, is left out. */
export type WrittenData = Omit<StoredData, 'a' | 'priority'> & {
  readonly a?: number | undefined
  readonly priority?: number | undefined
}

/** The result of a completed job, as its `returnvalue`. */
interface StoredResult {
  readonly n: number
  readonly p?: string | undefined
  readonly b?: string | undefined
}

// BullMQ's largest number is 2,097,151, and a smaller one goes first; ours go from -1,000,000 to 1,000,000.
const PRIORITY_ZERO = 1_000_001

/** BullMQ's number for one of our priorities. */
export function bullPriority(priority: number): number {
  return PRIORITY_ZERO - Math.round(priority)
}

/** Text or bytes, as two fields of JSON. */
function encoded(value: Encoded | Moved): { p?: string; b?: string } {
  const plain = value instanceof Moved ? encode(value.value, 'payload') : value
  if (plain === undefined) return {}
  return typeof plain === 'string' ? { p: plain } : { b: Buffer.from(plain).toString('base64') }
}

function decoded({ p, b }: { p?: string | undefined; b?: string | undefined }): Encoded {
  return b === undefined ? p : Buffer.from(b, 'base64')
}

function finite(value: number | undefined): number | undefined {
  return value === Number.POSITIVE_INFINITY ? -1 : value
}

function infinite(value: number | undefined): number | undefined {
  return value === -1 ? Number.POSITIVE_INFINITY : value
}

/** The monotonic and the wall clock of this process, one in terms of the other. */
function wallOf(clock: Clock, monotonic: number): number {
  return Math.round(monotonic - clock.now() + clock.wall())
}

function monotonicOf(clock: Clock, wall: number): number {
  return Math.round(wall - clock.wall() + clock.now())
}

/** A record as `data`. When it was accepted is the `timestamp` of BullMQ's job. */
export function toData(job: JobRecord, clock: Clock, line: string | undefined, held: boolean): WrittenData {
  const { extras } = job
  const expires = extras?.queueTimeout
  return {
    ...encoded(job.payload),
    d: extras?.dueAt === undefined ? undefined : wallOf(clock, extras.dueAt),
    q:
      expires === undefined || !Number.isFinite(expires)
        ? undefined
        : wallOf(clock, job.acceptedAt + expires),
    priority: job.priority === 0 ? undefined : job.priority,
    key: extras?.key,
    line,
    stops: job.batch?.onFailure === 'stop' || undefined,
    timeout: finite(extras?.timeout),
    maxAttempts: finite(extras?.maxAttempts),
    context: extras?.context,
    held: held || undefined,
  }
}

/**
 * A job as BullMQ takes it in, to wait for `delay` milliseconds from now on. Its own class for that would go over every
 * field three times.
 */
export function toJson(id: string, job: JobRecord, data: WrittenData, clock: Clock, delay: number): JobJson {
  const { extras } = job
  const unique = extras?.uniqueKey
  const opts: JobsOptions = { priority: bullPriority(job.priority) }
  const timestamp = wallOf(clock, job.acceptedAt)
  // BullMQ counts it from the timestamp, but the job may have waited to be written: in a buffer, while the store was away.
  if (delay > 0) opts.delay = delay + Math.max(0, clock.wall() - timestamp)
  if (unique !== undefined) opts.deduplication = { id: unique, ...timeToLive(job) }
  const json = { id, name: job.entry.task.name, data: JSON.stringify(data), opts, timestamp }
  return (unique === undefined ? json : { ...json, deduplicationId: unique }) as JobJson
}

function timeToLive(job: JobRecord): { ttl?: number } {
  const until = job.extras?.uniqueUntil
  // BullMQ takes whole milliseconds only, and fails at anything else.
  return until === undefined ? {} : { ttl: Math.max(1, Math.round(until - job.acceptedAt)) }
}

// Progress that JSON would change, or that BullMQ takes for none, lies under this name as base64 of its bytes.
const BYTES = 'aftertask:bytes'

/** Progress as BullMQ keeps it: plain JSON data as it is. */
export function toProgress(value: unknown): unknown {
  const isNone = value === undefined || value === null || value === 0 || value === '0'
  const isOwn = typeof value === 'object' && value !== null && BYTES in value
  const encodedValue = isNone || isOwn ? undefined : encode(value, 'progress')
  if (typeof encodedValue === 'string') return value
  return { [BYTES]: Buffer.from(encodedValue ?? serialize(value)).toString('base64') }
}

/** Progress that BullMQ has kept; undefined when none was told, or when it cannot be read. */
export function fromProgress(kept: unknown): unknown {
  if (kept === 0 || kept === '0') return undefined
  if (typeof kept !== 'object' || kept === null) return kept
  const bytes: unknown = Reflect.get(kept, BYTES)
  if (typeof bytes !== 'string') return kept
  try {
    return decode(Buffer.from(bytes, 'base64'))
  } catch {
    return undefined
  }
}

/** The message of a job's last error. */
export function failedReason(job: JobRecord): string {
  return (job.extras?.errors?.at(-1)?.message ?? job.extras?.reason ?? '').replaceAll('\0', '')
}

/** What a completed job has resulted in, for BullMQ. */
export function toReturnValue(job: JobRecord, result: Encoded | Moved): StoredResult {
  return { n: job.attempts, ...encoded(result) }
}

/** How a job ended that BullMQ cannot end. */
export function toEnd(
  attempts: number,
  queue: string,
  at: number,
  { state, error, reason }: Ended,
  past: string | undefined,
): StoredEnd {
  const wire = error instanceof Error ? toWireError(error) : error
  return { state, at, n: attempts, reason, queue, error: wire && errorText(wire), past }
}

/** The `data` of a job that was read. */
export function dataOf(json: JobJson): StoredData {
  return completeData(jsonOf(json.data), json.timestamp)
}

/** What is read of a text that anybody may have written. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What was written, with what was left out. `timestamp`: that of BullMQ's job. Of data that is not ours nothing is taken. */
export function completeData(written: unknown, timestamp: number): StoredData {
  const isObject = typeof written === 'object' && written !== null
  const data = (isObject ? written : {}) as { -readonly [Field in keyof StoredData]: StoredData[Field] }
  data.a ??= timestamp
  data.priority ??= 0
  return data
}

/** What the ids of one process's jobs start with. */
export function originOf(id: string): string {
  return id.slice(0, id.lastIndexOf('-') + 1)
}

/** Sorts jobs by their age. The ids of one process count up; between processes the clocks decide. */
export function byAge(one: { id: string; at: number }, other: { id: string; at: number }): number {
  if (originOf(one.id) !== originOf(other.id)) return one.at - other.at
  if (one.id.length !== other.id.length) return one.id.length - other.id.length
  return one.id < other.id ? -1 : 1
}

/** The payload of a stored job. */
export function payloadOf(data: StoredData): Encoded {
  return decoded(data)
}

/** How a stored job stands, by BullMQ's word for it. */
export function stateOf(json: JobJson, data: StoredData, bull: string, wall: number): JobState {
  switch (bull) {
    case 'completed':
      return 'completed'
    case 'failed':
      return 'dead'
    case 'active':
      return 'running'
    case 'delayed':
      if (data.held === true) return 'held'
      if (progressOf(json, data.past).n > (data.revived ?? 0)) return 'retryable'
      return (data.d ?? 0) > wall ? 'scheduled' : 'waiting'
    default:
      return 'available'
  }
}

/** Makes the record of a stored job, or brings one that is known up to date. */
export function toRecord(
  json: JobJson,
  data: StoredData,
  made: {
    seq: number
    id: string | undefined
    entry: TaskEntry
    clock: Clock
    known?: JobRecord | undefined
  },
): JobRecord {
  const { clock, known } = made
  const job =
    known ?? new JobRecord(made.seq, made.entry, decoded(data), data.priority, monotonicOf(clock, data.a))
  if (known === undefined) takeData(job, data, made.id, clock)
  const left = progressOf(json, data.end?.past ?? data.past)
  const crashes = hasCrashed(left, json) ? 1 : 0
  const isFresh = data.revived !== undefined && left.n <= data.revived
  job.attempts = Math.max(left.n, data.revived ?? 0) + crashes
  job.failures = isFresh ? 0 : left.f
  job.crashes = (isFresh ? 0 : left.c) + crashes
  const errors = left.e.map(errorFromText)
  if (errors.length > 0) job.more.errors = errors
  const progress = fromProgress(json.progress)
  if (progress !== undefined) job.more.progress = progress
  return job
}

function takeData(job: JobRecord, data: StoredData, id: string | undefined, clock: Clock): void {
  const { more } = job
  if (id !== undefined) more.id = id
  if (data.key !== undefined) more.key = data.key
  if (data.d !== undefined) more.dueAt = monotonicOf(clock, data.d)
  const timeout = infinite(data.timeout)
  if (timeout !== undefined) more.timeout = timeout
  const maxAttempts = infinite(data.maxAttempts)
  if (maxAttempts !== undefined) more.maxAttempts = maxAttempts
  if (data.context !== undefined) more.context = data.context
}

/** Gives a record the end that it has in the store. */
export function takeEnd(
  job: JobRecord,
  json: JobJson,
  data: StoredData,
  state: JobState,
  clock: Clock,
): void {
  job.state = state
  if (data.end !== undefined) {
    const { at, n, reason, error } = data.end
    job.state = data.end.state
    job.attempts = n
    job.readyAt = monotonicOf(clock, at)
    if (reason !== undefined) job.more.reason = reason
    if (error !== undefined) job.more.errors = [...(job.more.errors ?? []), errorFromText(error)]
    return
  }
  if (json.finishedOn !== undefined) job.readyAt = monotonicOf(clock, Number(json.finishedOn))
  if (state !== 'completed') return
  const result = resultIn(json)
  job.attempts = result?.n ?? job.attempts
  job.result = decoded(result ?? {})
}

function resultIn(json: JobJson): StoredResult | null {
  const value: unknown = json.returnvalue
  return (typeof value === 'string' ? JSON.parse(value) : value) as StoredResult | null
}

/** The attempts of a completed job. */
export function attemptsIn(json: JobJson): number {
  return resultIn(json)?.n ?? 1
}
