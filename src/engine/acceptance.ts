/** From a call to an accepted job: everything that can be refused is refused here, before anything is kept. */
import type { IntakeBroker } from '../brokers/port/broker.ts'
import {
  isA,
  isKey,
  isList,
  isRecord,
  KEY_EXPECTED,
  messageOf,
  readSafely,
  refusal,
} from '../rules/arguments.ts'
import type { Bound } from '../rules/bounds.ts'
import { type Encoded, encode, encodeInMemory, type Snapshot } from '../rules/codec.ts'
import { type JobExtras, JobRecord } from '../rules/job-record.ts'
import { move, sizeOf } from '../rules/moved.ts'
import { jobOptionsSchema, nestedJobOptionsSchema, timeOf } from '../rules/option-schemas.ts'
import { closest, readOptions } from '../rules/options.ts'
import type { Registry, TaskEntry } from '../rules/registry.ts'
import { type AnyTask, isTask, type TaskPolicy } from '../rules/task.ts'
import type { Clock } from '../words/clock.ts'
import { AftertaskError, describeValue, OptionsInvalidError, QueueFullError } from '../words/errors.ts'
import type { JobOptions, UniqueTerms } from '../words/job.ts'
import { ignoreRejection, isThenable } from '../words/thenables.ts'

/** A call that has passed every check, ready to become a job. */
export interface Checked {
  readonly entry: TaskEntry
  readonly payload: unknown
  /** A copy of what the call said. */
  readonly options: JobOptions | undefined
  readonly key: string | undefined
  readonly unique: Unique | undefined
}

/** How a job is unique. */
export interface Unique {
  /** What is equal; undefined: the payload. */
  readonly own: string | undefined
  readonly for: number | undefined
  /** Only until its first attempt starts. */
  readonly isWhileWaiting: boolean
  /** A newer one takes its place. */
  readonly replaces: boolean
}

/**
 * Checks a call, whose name is `call`: the task, the options, the payload, and what the task's functions make of it.
 * Nothing has been kept or moved when it throws. `isParsed`: the payload is one that its schema has made.
 */
export function check(
  registry: Registry,
  task: string | AnyTask,
  payload: unknown,
  options: JobOptions | undefined,
  call = 'enqueue',
  isParsed = false,
): Checked {
  const entry = registry.find(task, call)
  const read = options === undefined ? undefined : readCall(options, call, entry)
  const parsed = isParsed ? payload : registry.parse(entry, payload)
  const { policy } = entry.task
  const key = read?.key ?? (policy.key === undefined ? undefined : keyOf(entry, parsed))
  const rule = read?.unique ?? policy.unique
  const unique = rule === undefined || rule === false ? undefined : uniqueOf(entry, rule, parsed)
  if (unique !== undefined && unique.own === undefined && read?.transfer !== undefined) {
    throw new OptionsInvalidError(
      `${call}: a payload that is moved cannot be compared; give "unique" a string.`,
      'unique',
    )
  }
  return { entry, payload: parsed, options: read, key, unique }
}

/** Checks the entries of `enqueueMany`. What is refused is refused with the entry's place. */
export function checkEach(registry: Registry, entries: unknown): Checked[] {
  const call = 'enqueueMany'
  if (!isList(entries)) {
    const remedy = isTask(entries)
      ? 'Write enqueueMany([{ task, payload: first }, { task, payload: second }]).'
      : ''
    throw refusal(call, 'the list', entries, 'an array of { task, payload, options }', remedy)
  }
  const length = readSafely(call, 'the list', () => entries.length)
  const checked: Checked[] = []
  for (let index = 0; index < length; index++) {
    const entry = readSafely(call, `entry ${index}`, () => entries[index])
    const { task, payload, options } = fieldsOf(entry, index)
    try {
      checked.push(check(registry, task as AnyTask, payload, options as JobOptions | undefined, call))
    } catch (error) {
      throw ofEntry(error, index)
    }
  }
  return checked
}

const FIELDS: readonly string[] = ['task', 'payload', 'options']

function fieldsOf(entry: unknown, index: number): { task?: unknown; payload?: unknown; options?: unknown } {
  const what = `entry ${index}`
  if (!isRecord(entry)) {
    throw refusal('enqueueMany', what, entry, 'an object such as { task, payload, options }')
  }
  return readSafely('enqueueMany', what, () => {
    const unknown = Object.keys(entry).find((key) => !FIELDS.includes(key))
    if (unknown !== undefined) {
      const near = closest(unknown, FIELDS)
      const hint = near === undefined ? `Known: ${FIELDS.join(', ')}.` : `Did you mean "${near}"?`
      throw new OptionsInvalidError(`enqueueMany: ${what} has the unknown key "${unknown}". ${hint}`, unknown)
    }
    return { ...entry }
  })
}

/** Says in an error of ours which entry it is about. */
function ofEntry(error: unknown, index: number): unknown {
  if (!isA(error, AftertaskError)) return error
  const message = `entry ${index}: ${error.message}`
  Object.defineProperty(error, 'message', { value: message, writable: true, configurable: true })
  return Object.assign(error, { index })
}

function readCall(options: JobOptions, call: string, { task }: TaskEntry): JobOptions {
  const schema = call === 'ctx.enqueue' ? nestedJobOptionsSchema : jobOptionsSchema
  const read = readOptions(schema, options, `${call}("${task.name}")`) as JobOptions
  if (read.delay !== undefined && read.runAt !== undefined) {
    throw new OptionsInvalidError(`${call}: "delay" and "runAt" exclude each other.`, 'runAt')
  }
  if (read.transfer !== undefined && (read.maxAttempts ?? 1) > 1) {
    throw new OptionsInvalidError(
      `${call}: a payload that is moved travels once, so "maxAttempts" must be 1.`,
      'maxAttempts',
    )
  }
  return read
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

/**
 * Makes the record of a checked call: encodes the payload, which is the snapshot, or moves its buffers. A broker that
 * stores payloads (`isStored`) encodes those as well: what it could not store is refused here, with the caller's buffers whole.
 */
export function toRecord(
  checked: Checked,
  seq: number,
  clock: Clock,
  bound: Bound,
  isStored = false,
): JobRecord {
  const { entry, options, key, unique } = checked
  const { policy } = entry.task
  // Before buffers are moved, since it may refuse.
  const more = options === undefined ? undefined : extrasOf(options, clock)
  const isMoved = options?.transfer !== undefined
  const encoded = isMoved && !isStored ? undefined : encodedPayload(checked, bound, isStored)
  const moved = isMoved ? move(checked.payload, options.transfer ?? [], 'payload', bound) : undefined
  const payload = isStored ? encoded : (moved ?? encoded)
  const record = new JobRecord(
    seq,
    entry,
    payload,
    options?.priority ?? policy.priority,
    Math.round(clock.now()),
  )
  record.bytes = sizeOf(payload)
  // What could not be moved was copied: that is no reason for the job to have more attempts than others.
  if (options?.transfer !== undefined) record.more.maxAttempts = 1
  if (key !== undefined) record.more.key = key
  if (unique !== undefined) makeUnique(record, checked, unique, clock, bound)
  if (more !== undefined) Object.assign(record.more, more)
  return record
}

/** Equal payloads that are compared have to be the same text. */
function encodedPayload({ payload, unique }: Checked, bound: Bound, isStored: boolean): Encoded | Snapshot {
  const isCompared = unique !== undefined && unique.own === undefined
  return isStored || isCompared
    ? encode(payload, 'payload', bound)
    : encodeInMemory(payload, 'payload', bound)
}

function extrasOf(options: JobOptions, clock: Clock): Partial<JobExtras> | undefined {
  const { when, delay, runAt, timeout, queueTimeout, maxAttempts } = options
  const more: Partial<JobExtras> = {}
  if (when !== undefined) more.when = when
  if (delay !== undefined) more.delay = delay
  if (runAt !== undefined) more.dueAt = clock.now() + Math.max(0, wallTimeOf(runAt, clock) - clock.wall())
  if (timeout !== undefined) more.timeout = timeout
  if (queueTimeout !== undefined) more.queueTimeout = queueTimeout
  if (maxAttempts !== undefined) more.maxAttempts = maxAttempts
  return Object.keys(more).length > 0 ? more : undefined
}

// A time of 2001 in milliseconds is one of 1970 when it was given in seconds.
const LONG_AGO = 1e11

/** The time that `runAt` gives. @throws OptionsInvalidError when that is one of 1970, as seconds would be. */
export function wallTimeOf(runAt: Date | number, clock: Clock): number {
  const time = timeOf(runAt)
  if (time > 0 && time < LONG_AGO && clock.wall() > LONG_AGO) {
    throw new OptionsInvalidError(
      `options: option "runAt" is ${time}, which is ${new Date(time).toISOString()}; expected milliseconds since 1970. Multiply seconds by 1000.`,
      'runAt',
    )
  }
  return time
}

type OfPayload = (payload: unknown) => unknown

function keyOf(entry: TaskEntry, payload: unknown): string | undefined {
  const { key } = entry.task.policy
  if (typeof key !== 'function') return key
  const made = make(entry, 'key', key as OfPayload, payload)
  if (made === undefined || isKey(made)) return made
  throw badKey(entry, 'key', made)
}

function uniqueOf(
  entry: TaskEntry,
  rule: Exclude<NonNullable<JobOptions['unique'] | TaskPolicy['unique']>, false>,
  payload: unknown,
): Unique {
  const terms: UniqueTerms = typeof rule === 'object' ? rule : {}
  const given = typeof rule === 'object' ? rule.key : rule
  const made = typeof given === 'function' ? make(entry, 'unique', given as OfPayload, payload) : given
  if (typeof given === 'function' && !isKey(made)) throw badKey(entry, 'unique', made)
  const replaces = terms.replace === true
  return {
    own: typeof made === 'string' ? made : undefined,
    for: terms.for,
    isWhileWaiting: replaces || terms.while === 'waiting',
    replaces,
  }
}

/** What a task's own function makes of a payload. */
function make({ task }: TaskEntry, option: string, own: OfPayload, payload: unknown): unknown {
  try {
    return own(payload)
  } catch (cause) {
    throw new OptionsInvalidError(
      `The ${option} function of "${task.name}" threw: ${messageOf(cause)}. It got the payload, after its schema.`,
      option,
      { cause },
    )
  }
}

function badKey({ task }: TaskEntry, option: string, made: unknown): OptionsInvalidError {
  const expected = `expected ${KEY_EXPECTED}. Its function got the payload: return an id, such as payload.user.id.`
  if (!isThenable(made)) {
    return new OptionsInvalidError(
      `The ${option} of "${task.name}" is ${describeValue(made)}; ${expected}`,
      option,
    )
  }
  ignoreRejection(made)
  return new OptionsInvalidError(
    `The ${option} of "${task.name}" is a Promise, but adding a job is synchronous; ${expected}`,
    option,
  )
}

function makeUnique(record: JobRecord, checked: Checked, unique: Unique, clock: Clock, bound: Bound): void {
  const { more, payload } = record
  more.uniqueKey = uniqueKeyOf(checked, bound, () => payload) as string
  if (unique.for !== undefined) more.uniqueUntil = clock.now() + unique.for
  if (unique.isWhileWaiting) more.uniqueWhile = 'waiting'
}

/** What makes a job equal to another, the task's name included; undefined for one that may be added at any time. */
export function uniqueKeyOf(
  checked: Checked,
  bound: Bound,
  encoded = (): JobRecord['payload'] => encode(checked.payload, 'payload', bound),
): string | undefined {
  const { entry, unique } = checked
  if (unique === undefined) return undefined
  const equal = unique.own === undefined ? `=${encodedText(encoded())}` : `:${unique.own}`
  return `${entry.task.name}${equal}`
}

function encodedText(payload: JobRecord['payload']): string {
  return payload instanceof Uint8Array ? Buffer.from(payload).toString('base64') : String(payload)
}

/**
 * Sees to it that the unique rules of tasks can be kept by a broker.
 *
 * @throws OptionsInvalidError when a task's cannot.
 */
export function checkUnique(tasks: readonly AnyTask[], broker: Pick<IntakeBroker, 'ownsKeys'>): void {
  for (const { name, policy } of tasks) {
    const { unique } = policy
    if (typeof unique !== 'object') continue
    if (unique.replace === true || unique.while === 'waiting') expectOwnKeys(broker, `The task "${name}"`)
  }
}

/** @throws OptionsInvalidError when other processes may hold unique keys that this one does not know of. */
export function expectOwnKeys(broker: Pick<IntakeBroker, 'ownsKeys'>, who: string): void {
  if (broker.ownsKeys) return
  throw new OptionsInvalidError(
    `${who} has "while: 'waiting'" or "replace" in "unique", which this broker cannot keep: another process may hold the key. It takes the memory broker, or sqliteBroker without shared.`,
    'unique',
  )
}
