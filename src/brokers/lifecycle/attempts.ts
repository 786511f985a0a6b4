/** Attempts that are over, as a broker keeps them and as plain data for whoever asks. */
import { fromWireError, type WireError } from '../../rules/wire-error.ts'
import type { AttemptInfo } from '../../words/job.ts'

/** One attempt with everything that may be known of it; times are wall-clock milliseconds. */
export interface KnownAttempt {
  readonly attempt: number
  readonly outcome: AttemptInfo['outcome']
  readonly started: number | undefined
  readonly ended: number | undefined
  readonly thread: number | undefined
  readonly cpu: number | undefined
  readonly error: WireError | Error | undefined
  /** The error as it is told, where nothing else of it is kept: its cause may be whatever a caller gave as a reason. */
  readonly told?: AttemptInfo['error']
}

/** An attempt as plain data, without what is not known of it. */
export function attemptInfo(known: KnownAttempt): AttemptInfo {
  const { attempt, outcome, started, ended, thread, cpu, error } = known
  const told = known.told ?? (error === undefined ? undefined : errorInfo(error))
  return {
    attempt,
    outcome,
    ...(started === undefined ? {} : { startedAt: Math.round(started) }),
    ...(ended === undefined ? {} : { endedAt: Math.round(ended) }),
    ...(thread === undefined ? {} : { thread }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(told === undefined ? {} : { error: told }),
  }
}

/** An error as plain data, without its cause. */
export function errorInfo(given: WireError | Error): NonNullable<AttemptInfo['error']> {
  const error = given instanceof Error ? given : fromWireError(given)
  const { name, message, stack } = error
  const code = Reflect.get(error, 'code')
  return { name, message, ...(typeof code === 'string' && { code }), ...(stack !== undefined && { stack }) }
}
