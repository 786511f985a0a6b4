/** From a call to an accepted job: everything that can be refused is refused here, before anything is kept. */
import { type Encoded, encode } from '../rules/codec.ts'
import { type JobExtras, JobRecord, Moved } from '../rules/job-record.ts'
import { jobOptionsSchema } from '../rules/option-schemas.ts'
import { readOptions } from '../rules/options.ts'
import type { Registry, TaskEntry } from '../rules/registry.ts'
import type { AnyTask, TaskPolicy } from '../rules/task.ts'
import type { Clock } from '../words/clock.ts'
import { NotSerializableError, OptionsInvalidError, QueueFullError } from '../words/errors.ts'
import type { JobOptions } from '../words/job.ts'

/** A call that has passed every check, ready to become a job. */
export interface Checked {
  readonly entry: TaskEntry
  readonly payload: unknown
  readonly options: JobOptions | undefined
}

/** Checks a call: the name, the options, the payload. */
export function check(
  registry: Registry,
  task: string | AnyTask,
  payload: unknown,
  options: JobOptions | undefined,
): Checked {
  const entry = registry.find(task)
  if (options !== undefined) checkOptions(options)
  return { entry, payload: registry.parse(entry, payload), options }
}

function checkOptions(options: JobOptions): void {
  readOptions(jobOptionsSchema, options, 'options')
  if (options.delay !== undefined && options.runAt !== undefined) {
    throw new OptionsInvalidError('options: "delay" and "runAt" exclude each other.', 'runAt')
  }
  if (options.transfer !== undefined && (options.maxAttempts ?? 1) > 1) {
    throw new OptionsInvalidError(
      'options: a payload that is moved travels once, so "maxAttempts" must be 1.',
      'maxAttempts',
    )
  }
}

/** Null in place of the error of a full queue; every other error is thrown on. */
export function unlessFull<T>(take: () => T): T | null {
  try {
    return take()
  } catch (error) {
    if (error instanceof QueueFullError) return null
    throw error
  }
}

/** Makes the record of a checked call: encodes the payload, which is the snapshot, or moves its buffers. */
export function toRecord(checked: Checked, seq: number, clock: Clock): JobRecord {
  const { entry, options } = checked
  const { policy } = entry.task
  const payload =
    options?.transfer === undefined
      ? encode(checked.payload, 'payload')
      : move(checked.payload, options.transfer)
  const record = new JobRecord(
    seq,
    entry,
    payload,
    options?.priority ?? policy.priority,
    Math.round(clock.now()),
  )
  const key = options?.key ?? keyOf(entry, checked.payload)
  if (key !== undefined) record.more.key = key
  if (policy.unique !== undefined || options?.unique !== undefined) makeUnique(record, checked, clock)
  if (options !== undefined) takeOptions(record, options, clock)
  return record
}

function takeOptions(record: JobRecord, options: JobOptions, clock: Clock): void {
  const { when, delay, runAt, timeout, queueTimeout, maxAttempts } = options
  const more: Partial<JobExtras> = {}
  if (when !== undefined) more.when = when
  if (delay !== undefined) more.delay = delay
  if (runAt !== undefined) more.dueAt = clock.now() + Math.max(0, Number(runAt) - clock.wall())
  if (timeout !== undefined) more.timeout = timeout
  if (queueTimeout !== undefined) more.queueTimeout = queueTimeout
  if (maxAttempts !== undefined) more.maxAttempts = maxAttempts
  if (Object.keys(more).length > 0) Object.assign(record.more, more)
}

// The clone takes the buffers from the caller at once and finds their new selves, to be moved on to the thread.
function move(payload: unknown, buffers: readonly ArrayBuffer[]): Moved {
  try {
    const clone = structuredClone({ payload, buffers }, { transfer: [...buffers] })
    return new Moved(clone.payload, clone.buffers)
  } catch (cause) {
    const what = cause instanceof Error ? `refused (${cause.message})` : 'refused'
    throw new NotSerializableError('payload', what, { cause })
  }
}

function keyOf(entry: TaskEntry, payload: unknown): string | undefined {
  const { key } = entry.task.policy
  return typeof key === 'function' ? (key as (payload: unknown) => string | undefined)(payload) : key
}

function makeUnique(record: JobRecord, checked: Checked, clock: Clock): void {
  const { payload } = record
  const key = uniqueKeyOf(checked, () => payload)
  if (key === undefined) return
  record.more.uniqueKey = key
  const rule = uniqueRuleOf(checked)
  if (typeof rule === 'object' && rule.for !== undefined) record.more.uniqueUntil = clock.now() + rule.for
}

function uniqueRuleOf({ entry, options }: Checked): JobOptions['unique'] | TaskPolicy['unique'] {
  return options?.unique ?? entry.task.policy.unique
}

/** What makes a job equal to another, the task's name included; undefined for one that may be added at any time. */
export function uniqueKeyOf(
  checked: Checked,
  encoded = (): Encoded | Moved => encode(checked.payload, 'payload'),
): string | undefined {
  const rule = uniqueRuleOf(checked)
  if (rule === undefined || rule === false) return undefined
  const given = typeof rule === 'object' ? rule.key : rule
  const own = typeof given === 'function' ? (given as (payload: unknown) => string)(checked.payload) : given
  const equal = typeof own === 'string' ? `:${own}` : `=${encodedText(encoded())}`
  return `${checked.entry.task.name}${equal}`
}

function encodedText(payload: Encoded | Moved): string {
  if (payload instanceof Moved) {
    throw new OptionsInvalidError(
      'options: a payload that is moved cannot be compared; give "unique" a string.',
      'unique',
    )
  }
  return payload instanceof Uint8Array ? Buffer.from(payload).toString('base64') : String(payload)
}
