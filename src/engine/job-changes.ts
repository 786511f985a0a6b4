/** What a call wants to be different about a job that has not begun: checked, and in a broker's words. */
import type { JobChange } from '../brokers/port/broker.ts'
import { read as decode, type Encoded, encode, encodeInMemory, Snapshot } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved } from '../rules/moved.ts'
import { jobChangeSchema } from '../rules/option-schemas.ts'
import { readOptions } from '../rules/options.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import { check, uniqueKeyOf, wallTimeOf } from './acceptance.ts'
import type { Engine } from './engine.ts'

/** What `runtime.change` takes: at least one of them. `delay` counts from the call. */
export interface JobChangeOptions {
  /** A larger number goes first. */
  priority?: number
  /** Milliseconds to wait from now on. Not together with `runAt`. */
  delay?: number
  /** The wall-clock time at which it may start, as a `Date` or milliseconds since 1970. */
  runAt?: Date | number
  /** What its handler is to be given in place of its payload; the task's schema checks it. */
  payload?: unknown
}

type Checking = Pick<Engine, 'broker' | 'clock' | 'intake' | 'registry'>

/**
 * Checks a change of a job.
 *
 * @throws OptionsInvalidError, UnknownTaskError, PayloadInvalidError, NotSerializableError, PayloadTooLargeError.
 */
export function readChange(engine: Checking, job: JobRecord, given: unknown): JobChange {
  const read = readOptions(jobChangeSchema, given, 'change', 'the change')
  const { priority, delay, runAt } = read
  const hasPayload = Object.hasOwn(read, 'payload')
  if (priority === undefined && delay === undefined && runAt === undefined && !hasPayload) {
    throw new OptionsInvalidError(
      'change: the change is empty; expected at least one of priority, delay, runAt, payload.',
    )
  }
  if (delay !== undefined && runAt !== undefined) {
    throw new OptionsInvalidError('change: "delay" and "runAt" exclude each other.', 'runAt')
  }
  const { clock } = engine
  const now = clock.now()
  const dueAt = runAt === undefined ? undefined : now + Math.max(0, wallTimeOf(runAt, clock) - clock.wall())
  return {
    ...(priority !== undefined && { priority }),
    ...(delay !== undefined && { dueAt: now + delay }),
    ...(dueAt !== undefined && { dueAt }),
    ...(hasPayload && { payload: { encoded: payloadOf(engine, job, read.payload) } }),
  }
}

/** Another payload must not belong to another key: the job stands in the line of the old one. */
function payloadOf(
  { broker, intake, registry }: Checking,
  job: JobRecord,
  payload: unknown,
): Encoded | Snapshot {
  const { name } = job.entry.task
  const checked = check(registry, name, payload, undefined, 'change')
  const { entry } = checked
  const bound = intake.boundOf(entry)
  const { key, uniqueKey } = job.extras ?? {}
  const before = check(registry, name, payloadValueOf(job), undefined, 'change', true)
  // A key that the call gave has nothing to do with the payload.
  const isOwnKey = before.key === undefined || before.key !== key
  if (!isOwnKey && checked.key !== key) throw otherKey('key', name)
  // What makes a job unique is not known of one that came through a store which others share.
  const isUnique = uniqueKey !== undefined || !broker.intake.ownsKeys
  const isSameUnique = uniqueKeyOf(before, bound) === uniqueKeyOf(checked, bound)
  // The call that added it may have said that it is equal to jobs with this payload.
  const isByPayload = uniqueKey?.startsWith(`${name}=`) === true
  const isEqual = !isByPayload || uniqueKeyOf({ ...checked, unique: BY_PAYLOAD }, bound) === uniqueKey
  if (isUnique && !(isSameUnique && isEqual)) throw otherKey('unique', name)
  return broker.intake.storesPayloads
    ? encode(checked.payload, 'payload', bound)
    : encodeInMemory(checked.payload, 'payload', bound)
}

const BY_PAYLOAD = { own: undefined, for: undefined, isWhileWaiting: false, replaces: false }

/** The payload of a job that is not over, or dead, as its schema has made it. */
export function payloadValueOf({ payload }: JobRecord): unknown {
  if (payload instanceof Snapshot) return payload.copy()
  return payload instanceof Moved ? payload.copy('the payload') : decode(payload, 'the payload')
}

function otherKey(option: string, name: string): OptionsInvalidError {
  return new OptionsInvalidError(
    `change: with this payload the job of "${name}" would have another "${option}" than it was added with; expected one that keeps it. Cancel the job, and add another.`,
    'payload',
  )
}
