/** A job's changes as operations of the journal. */
import type { Encoded } from '../../rules/codec.ts'
import type { JobExtras, JobRecord } from '../../rules/job-record.ts'
import { ADD_HELD, ADD_STOPS, errorText, OP, STATES } from '../../rules/journal-protocol.ts'
import { linesToText } from '../../rules/log-lines.ts'
import { Moved } from '../../rules/moved.ts'
import { toWireError, type WireError } from '../../rules/wire-error.ts'
import type { KeptLines } from '../lifecycle/kept-lines.ts'
import type { Attempt, Ending } from '../port/attempt.ts'

/** What a job is remembered by that has no column of its own. */
const REST = ['when', 'delay', 'timeout', 'queueTimeout', 'maxAttempts', 'context', 'uniqueWhile'] as const

// JSON has no Infinity.
const NO_LIMIT = -1

/** Reads a time of the monotonic clock on the wall. */
export type Wall = (monotonic: number) => number

/** A job comes in. */
export function addOp(ops: unknown[], job: JobRecord, after: JobRecord | null, wall: Wall): void {
  const { extras, batch, entry } = job
  const isHeld = batch !== null && batch.facts === null
  const flags = (isHeld ? ADD_HELD : 0) | (batch?.onFailure === 'stop' ? ADD_STOPS : 0)
  if (extras === null) {
    ops.push(OP.add, job.seq, entry.index, flags, job.priority, wall(job.acceptedAt), null)
    ops.push(after === null ? null : after.seq, null, null, null, null, job.payload ?? null, null)
    return
  }
  const { dueAt, key, uniqueKey, uniqueUntil, queueTimeout } = extras
  ops.push(OP.add, job.seq, entry.index, flags, job.priority, wall(job.acceptedAt), orNull(dueAt, wall))
  ops.push(after === null ? null : after.seq, key ?? null, uniqueKey ?? null, orNull(uniqueUntil, wall))
  ops.push(queueTimeout === undefined ? null : wall(job.acceptedAt + queueTimeout))
  ops.push(job.payload ?? null, restOf(extras))
}

/** A job is over. */
export function finishOp(
  ops: unknown[],
  job: JobRecord,
  ending: Ending,
  isGranted: boolean,
  wall: Wall,
): void {
  const { extras } = job
  const { attempt } = ending
  const isLast = attempt?.outcome === 'completed'
  const error = ending.error === undefined ? null : errorText(wireOf(ending.error))
  ops.push(
    OP.finish,
    job.seq,
    isGranted ? 1 : 0,
    STATES.indexOf(ending.state),
    encodedResult(ending.result) ?? null,
  )
  // A record that is back, and not yet up to date, does not know how often the job was tried.
  const tries = extras?.isStale === true ? [null, null, null] : [job.attempts, job.failures, job.crashes]
  ops.push(error, ending.reason ?? null, ...tries)
  ops.push(isLast ? orNull(attempt.started, wall) : null, wall(isLast ? attempt.ended : job.readyAt))
  ops.push((isLast ? extras?.thread : undefined) ?? null, (isLast ? extras?.cpu : undefined) ?? null)
}

/** An attempt is over that did not end its job as completed. */
export function attemptOp(ops: unknown[], job: JobRecord, attempt: Attempt, wall: Wall): void {
  const { number, outcome, ended, error } = attempt
  const started = attempt.started ?? job.extras?.sentAt
  ops.push(
    OP.attempt,
    job.seq,
    number,
    outcome,
    orNull(started, wall),
    wall(ended),
    job.extras?.thread ?? null,
    job.extras?.cpu ?? null,
  )
  ops.push(error === undefined ? null : errorText(wireOf(error)))
}

/** Lines of a job. */
export function logOp(ops: unknown[], job: JobRecord, { lines, bytes, dropped, limits }: KeptLines): void {
  ops.push(OP.log, job.seq, lines.length, bytes, dropped, linesToText(lines), finite(limits.lines))
  ops.push(finite(limits.bytes))
}

// A column has no Infinity.
function finite(limit: number): number {
  return Math.min(limit, Number.MAX_SAFE_INTEGER)
}

/** A job failed and is to be tried again. */
export function retryOp(ops: unknown[], job: JobRecord, dueAt: number, wall: Wall): void {
  const last = job.extras?.errors?.at(-1)
  const error = last === undefined ? null : errorText(wireOf(last))
  ops.push(OP.retry, job.seq, wall(dueAt), job.attempts, job.failures, job.crashes, error)
}

/** A job that is not with us is to be cancelled. */
export function cancelOp(ops: unknown[], seq: number, reason: unknown): void {
  const text = reason instanceof Error ? reason.message : reason
  ops.push(OP.cancel, seq, text === undefined || text === null ? null : String(text))
}

/** A result as it is stored: what was moved from the thread is encoded now. */
export function encodedResult(result: Encoded | Moved): Encoded {
  return result instanceof Moved ? result.plain('the result') : result
}

function wireOf(error: WireError | Error): WireError {
  return error instanceof Error ? toWireError(error) : error
}

function orNull(time: number | undefined, wall: Wall): number | null {
  return time === undefined ? null : wall(time)
}

/** Reads what `restOf` made; nothing of what is damaged. */
export function restFromText(text: string): Partial<JobExtras> {
  const rest: Partial<JobExtras> & { behind?: unknown } = parsed(text)
  // What the journal notes of a job that has started over: who was before it in its batch.
  if (rest.behind !== undefined) {
    rest.isRevived = true
    Reflect.deleteProperty(rest, 'behind')
  }
  if (rest.timeout === NO_LIMIT) rest.timeout = Number.POSITIVE_INFINITY
  if (rest.maxAttempts === NO_LIMIT) rest.maxAttempts = Number.POSITIVE_INFINITY
  return rest
}

function restOf(extras: JobExtras): string | null {
  const rest: Record<string, unknown> = {}
  for (const name of REST) {
    const value = extras[name]
    // A predicate cannot outlive its process; a job that is held at a crash goes on whatever it says.
    if (value !== undefined && typeof value !== 'function')
      rest[name] = value === Number.POSITIVE_INFINITY ? NO_LIMIT : value
  }
  return Object.keys(rest).length === 0 ? null : JSON.stringify(rest)
}

function parsed(text: string): Partial<JobExtras> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
