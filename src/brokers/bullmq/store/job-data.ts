/**
 * A job as it lies in the store, and as a record. `data` is written once, when the job is added; `progress-mark` has what
 * attempts leave behind.
 */
import { serialize } from 'node:v8'
import type { Encoded } from '../../../rules/codec.ts'
import { JobRecord } from '../../../rules/job-record.ts'
import { errorFromText, errorText } from '../../../rules/journal-protocol.ts'
import { Moved } from '../../../rules/moved.ts'
import type { TaskEntry } from '../../../rules/registry.ts'
import { toWireError } from '../../../rules/wire-error.ts'
import type { Clock } from '../../../words/clock.ts'
import type { Ended } from '../../port/broker.ts'
import { hasCrashed } from './progress-mark.ts'
import type { NewJob, StoredData, StoredEnd, StoredJob, StoredResult, WrittenData } from './stored-job.ts'

/** Text or bytes, as two fields of JSON. */
function encoded(value: Encoded | Moved): { p?: string; b?: string } {
  const plain = value instanceof Moved ? value.plain('the value') : value
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

/** A job as the store takes it in, to wait for `delay` milliseconds from then on. */
export function toNewJob(id: string, job: JobRecord, data: WrittenData, clock: Clock, delay: number): NewJob {
  const { extras, priority, acceptedAt } = job
  const key = extras?.uniqueKey
  const until = extras?.uniqueUntil
  const forMs = until === undefined ? undefined : Math.max(1, Math.round(until - acceptedAt))
  const unique = key === undefined ? undefined : { key, forMs }
  const { name } = job.entry.task
  return { id, name, data, priority, acceptedAt: wallOf(clock, acceptedAt), delay, unique }
}

// Progress that JSON would change, or that BullMQ takes for none, lies under this name as base64 of its bytes.
const BYTES = 'aftertask:bytes'

/** Progress as BullMQ keeps it: plain JSON data as it is. */
export function toProgress(progress: Encoded): unknown {
  if (progress instanceof Uint8Array) return { [BYTES]: Buffer.from(progress).toString('base64') }
  const value: unknown = progress === undefined ? undefined : JSON.parse(progress)
  const isNone = value === undefined || value === null || value === 0 || value === '0'
  const isOwn = typeof value === 'object' && value !== null && BYTES in value
  return isNone || isOwn ? { [BYTES]: serialize(value).toString('base64') } : value
}

/** Progress that BullMQ has kept; undefined when none was told. */
export function fromProgress(kept: unknown): Encoded {
  if (kept === undefined || kept === 0 || kept === '0') return undefined
  const bytes: unknown = typeof kept === 'object' && kept !== null ? Reflect.get(kept, BYTES) : undefined
  return typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : JSON.stringify(kept)
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

/** Makes the record of a stored job, or brings one that is known up to date. */
export function toRecord(
  stored: StoredJob,
  made: {
    seq: number
    id: string | undefined
    entry: TaskEntry
    clock: Clock
    known?: JobRecord | undefined
  },
): JobRecord {
  const { clock, known } = made
  const { data, left } = stored
  const job =
    known ?? new JobRecord(made.seq, made.entry, decoded(data), data.priority, monotonicOf(clock, data.a))
  if (known === undefined) takeData(job, data, made.id, clock)
  const crashes = hasCrashed(left, stored.stalls) ? 1 : 0
  const isFresh = data.revived !== undefined && left.n <= data.revived
  job.attempts = attemptsOf(stored) + crashes
  job.failures = isFresh ? 0 : left.f
  job.crashes = (isFresh ? 0 : left.c) + crashes
  const errors = left.e.map(errorFromText)
  if (errors.length > 0) job.more.errors = errors
  if (stored.progress !== undefined) job.more.progress = stored.progress
  return job
}

/** The attempts of a job that are over. */
export function attemptsOf({ left, data }: Pick<StoredJob, 'left' | 'data'>): number {
  return Math.max(left.n, data.revived ?? 0)
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

/** Gives a record the state that it has in the store, with what belongs to its end. */
export function takeState(job: JobRecord, { state, data, endedAt, result }: StoredJob, clock: Clock): void {
  job.state = state
  if (data.end !== undefined) {
    const { at, n, reason, error } = data.end
    job.attempts = n
    job.readyAt = monotonicOf(clock, at)
    if (reason !== undefined) job.more.reason = reason
    if (error !== undefined) job.more.errors = [...(job.more.errors ?? []), errorFromText(error)]
    return
  }
  if (endedAt !== undefined) job.readyAt = monotonicOf(clock, endedAt)
  if (state !== 'completed') return
  job.attempts = result?.n ?? job.attempts
  job.result = decoded(result ?? {})
}
