/**
 * A job as it lies in the store, and as a record. `data` is written once, when the job is added; `progress-mark` has what
 * attempts leave behind.
 */
import { Snapshot } from '../../../rules/codec.ts'
import { JobRecord } from '../../../rules/job-record.ts'
import { errorFromText } from '../../../rules/journal-protocol.ts'
import { Moved } from '../../../rules/moved.ts'
import type { TaskEntry } from '../../../rules/registry.ts'
import { strangerOf } from '../../../rules/stranger.ts'
import type { Clock } from '../../../words/clock.ts'
import type { BrokerHost } from '../../port/host.ts'
import { hasCrashed } from './progress-mark.ts'
import type { NewJob, StoredJob, WrittenData } from './stored-job.ts'

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
export function toNewJob(
  { queue, id }: Pick<NewJob, 'queue' | 'id'>,
  job: JobRecord,
  data: WrittenData,
  clock: Clock,
  delay: number,
): NewJob {
  const { extras, priority, acceptedAt, payload } = job
  const key = extras?.uniqueKey
  const until = extras?.uniqueUntil
  const forMs = until === undefined ? undefined : Math.max(1, Math.round(until - acceptedAt))
  const unique = key === undefined ? undefined : { key, forMs }
  const { name } = job.entry.task
  const isKept = payload instanceof Moved || payload instanceof Snapshot
  const plain = isKept ? payload.plain('the payload') : payload
  return {
    queue,
    id,
    name,
    payload: plain,
    data,
    priority,
    acceptedAt: wallOf(clock, acceptedAt),
    delay,
    unique,
  }
}

/** The message of a job's last error. */
export function failedReason(job: JobRecord): string {
  return (job.extras?.errors?.at(-1)?.message ?? job.extras?.reason ?? '').replaceAll('\0', '')
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

/** Makes the records of stored jobs. */
export class Records {
  readonly #clock: Clock
  readonly #entries: ReadonlyMap<string, TaskEntry>
  #made = 0

  constructor({ clock, entries }: Pick<BrokerHost, 'clock' | 'entries'>) {
    this.#clock = clock
    this.#entries = new Map(entries.map((entry) => [entry.task.name, entry]))
  }

  /** The record of a job that another process has accepted; undefined when its task is not known here. */
  make(stored: StoredJob): JobRecord | undefined {
    const entry = this.#entries.get(stored.name)
    return entry && this.#make(stored, entry)
  }

  /** The record of a job as it is told of, whether its task is known here or not. */
  view(stored: StoredJob): JobRecord {
    const job = this.#make(stored, this.#entries.get(stored.name) ?? strangerOf(stored.name))
    // It may be in another queue than such a job would come to now.
    job.more.queue = stored.queue
    return this.takeState(job, stored)
  }

  #make(stored: StoredJob, entry: TaskEntry): JobRecord {
    const { id, data, payload } = stored
    const clock = this.#clock
    // Below 0: no job of this process has such a number.
    const job = new JobRecord(--this.#made, entry, payload, data.priority, monotonicOf(clock, data.a))
    const { more } = job
    more.id = id
    if (data.key !== undefined) more.key = data.key
    if (data.d !== undefined) more.dueAt = monotonicOf(clock, data.d)
    const timeout = infinite(data.timeout)
    if (timeout !== undefined) more.timeout = timeout
    const maxAttempts = infinite(data.maxAttempts)
    if (maxAttempts !== undefined) more.maxAttempts = maxAttempts
    if (data.context !== undefined) more.context = data.context
    return this.update(job, stored)
  }

  /** Brings a record up to what the attempts of the job have left behind. */
  update(job: JobRecord, stored: StoredJob): JobRecord {
    const { data, left, stalls, progress } = stored
    const crashes = hasCrashed(left, stalls) ? 1 : 0
    const isFresh = data.revived !== undefined && left.n <= data.revived
    job.attempts = attemptsOf(stored) + crashes
    job.failures = isFresh ? 0 : left.f
    job.crashes = (isFresh ? 0 : left.c) + crashes
    const errors = left.e.map(errorFromText)
    if (errors.length > 0) job.more.errors = errors
    if (progress !== undefined) job.more.progress = progress
    return job
  }

  /** Gives a record the state that the job has in the store, with what belongs to its end. */
  takeState(job: JobRecord, { state, left, endedAt, result }: StoredJob): JobRecord {
    job.state = state
    if (left.end?.[1] !== undefined) job.more.reason = left.end[1]
    if (endedAt !== undefined) job.readyAt = monotonicOf(this.#clock, endedAt)
    if (state === 'completed') {
      job.attempts++
      job.result = result
    }
    return job
  }
}

/** The attempts of a job that are over. */
export function attemptsOf({ left, data }: Pick<StoredJob, 'left' | 'data'>): number {
  return Math.max(left.n, data.revived ?? 0)
}
