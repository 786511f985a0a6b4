/**
 * What the attempts of a job have left behind, as it lies in the store: in the `stacktrace`, which both backends write in
 * the same step as the move that follows an attempt. A job that completes at its first attempt leaves nothing there.
 */
import { ATTEMPTS_KEPT, type JobRecord } from '../../../rules/job-record.ts'
import { errorFromText, errorText } from '../../../rules/journal-protocol.ts'
import { toWireError, type WireError } from '../../../rules/wire-error.ts'
import type { AttemptInfo, AttemptOutcome, TerminalState } from '../../../words/job.ts'
import { attemptInfo } from '../../lifecycle/attempts.ts'
import type { Attempt, Ending } from '../../port/attempt.ts'

/** An attempt: its number, its outcome, its start and end in milliseconds since 1970, its thread. */
export type StoredAttempt = readonly [
  attempt: number,
  outcome: AttemptOutcome,
  started: number | null,
  ended: number | null,
  thread: number | null,
]

/** What attempts have left behind. */
export interface StoredProgress {
  /** Attempts, failures, crashes, and the stalls that are accounted for in them. */
  readonly n: number
  readonly f: number
  readonly c: number
  readonly s: number
  /** How many stalls there had been when the attempt began that is under way; absent when none is. */
  readonly r?: number
  /** The errors of attempts that failed or crashed, oldest first. */
  readonly e: readonly string[]
  /** The attempts, oldest first. */
  readonly h?: readonly StoredAttempt[]
  /** How the job ended, and why; its last error is in the list. Absent for one that completed or is not over. */
  readonly end?: readonly [state: TerminalState, reason?: string]
}

const MARK = 'aftertask:'
// BullMQ's tools show one for each attempt.
const MOST_STACKS = 10
const NOTHING: StoredProgress = { n: 0, f: 0, c: 0, s: 0, e: [] }

/** What is to be written of a job's attempts. */
export interface Left {
  /** Attempts that are over, or whose end is being written. */
  readonly attempts: number
  /** Stalls so far. */
  readonly stalls: number
  readonly history: readonly StoredAttempt[]
  /** An attempt is under way. */
  readonly isRunning: boolean
  /** The job is over. */
  readonly end?: StoredProgress['end']
}

/** What the attempts of a job have left behind, as a `stacktrace`. */
export function toStacktrace(job: JobRecord, { attempts, stalls, history, isRunning, end }: Left): string {
  const errors = job.extras?.errors ?? []
  return stacktraceOf(errors, {
    ...{ n: attempts, f: job.failures, c: job.crashes, s: stalls, e: errors.map(textOf) },
    ...(isRunning ? { r: stalls } : {}),
    ...(history.length > 0 ? { h: history } : {}),
    ...(end === undefined ? {} : { end }),
  })
}

/** The `stacktrace` of a job that ends without being run once more. */
export function endedStacktrace(left: StoredProgress, { state, reason, error }: Ending): string {
  const errors = [...left.e.map(errorFromText), ...(error === undefined ? [] : [error])]
  const { r: _, ...rest } = left
  const end: StoredProgress['end'] = reason === undefined ? [state] : [state, reason]
  return stacktraceOf(errors, { ...rest, e: errors.map(textOf), end })
}

function textOf(error: WireError | Error): string {
  return errorText(error instanceof Error ? toWireError(error) : error)
}

/** As BullMQ has it, the stack of each attempt that failed; and the mark. */
function stacktraceOf(errors: readonly (WireError | Error)[], left: StoredProgress): string {
  const stacks = errors.slice(-MOST_STACKS).map(({ stack }) => (stack ?? '').replaceAll('\0', ''))
  return JSON.stringify([...stacks, MARK + JSON.stringify(left)])
}

/** The mark of a `stacktrace`, to be carried over where the store drops it. */
export function markOf(stacktrace: unknown): string | undefined {
  const trace = typeof stacktrace === 'string' ? parsed(stacktrace) : stacktrace
  return Array.isArray(trace)
    ? (trace as unknown[]).findLast(
        (line): line is string => typeof line === 'string' && line.startsWith(MARK),
      )
    : undefined
}

/** Reads what attempts have left behind. */
export function progressOf(mark: string | undefined): StoredProgress {
  const left = mark === undefined ? undefined : parsed(mark.slice(MARK.length))
  return isProgress(left) ? left : NOTHING
}

function isProgress(left: unknown): left is StoredProgress {
  if (typeof left !== 'object' || left === null) return false
  const { n, f, c, s, e, h = [] } = left as Partial<Record<keyof StoredProgress, unknown>>
  const areNumbers = [n, f, c, s].every((value) => typeof value === 'number')
  const areTexts = Array.isArray(e) && e.every((value) => typeof value === 'string')
  return areNumbers && areTexts && Array.isArray(h) && h.every(Array.isArray)
}

/** What is read of a JSON text that anybody may have written; undefined when it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Whether the process that had the job last died while it ran it: the attempt was on record as begun, and the lease ran
 * out after that. A job that was only fetched is not to blame.
 */
export function hasCrashed({ s, r }: StoredProgress, stalls: number): boolean {
  return r !== undefined && r >= s && r < stalls
}

/** Takes note of an attempt that is over. `apart`: what the wall clock is ahead of the monotonic one. */
export function noteAttempt(
  history: StoredAttempt[],
  job: JobRecord,
  { number, outcome, started, ended }: Attempt,
  apart: number,
): void {
  const startedAt = started === undefined ? null : Math.round(started + apart)
  history.push([number, outcome, startedAt, Math.round(ended + apart), job.extras?.thread ?? null])
  if (history.length > ATTEMPTS_KEPT) history.shift()
}

/** The attempts as plain data. `errors`: those of attempts that failed or crashed; last that of a cancelled one. */
export function historyOf(
  history: readonly StoredAttempt[],
  errors: readonly (WireError | Error | string)[],
  isCancelled = false,
): AttemptInfo[] {
  const left = [...errors]
  const cancelled = isCancelled ? left.pop() : undefined
  const infos = history.toReversed().map(([attempt, outcome, started, ended, thread]) => {
    const hasFailed = outcome === 'failed' || outcome === 'crashed'
    const error = hasFailed ? left.pop() : outcome === 'cancelled' ? cancelled : undefined
    return attemptInfo({
      attempt,
      outcome,
      started: started ?? undefined,
      ended: ended ?? undefined,
      thread: thread ?? undefined,
      cpu: undefined,
      error: typeof error === 'string' ? errorFromText(error) : error,
    })
  })
  return infos.reverse()
}
