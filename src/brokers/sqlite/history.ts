/** An attempt as the journal keeps it, as plain data for whoever asks. */
import { type AttemptRow, errorFromText } from '../../rules/journal-protocol.ts'
import { fromWireError } from '../../rules/wire-error.ts'
import type { AttemptInfo, AttemptOutcome } from '../../words/job.ts'

/** Reads a row of the history. */
export function attemptInfoOf({
  attempt,
  outcome,
  started,
  ended,
  thread,
  cpu,
  error,
}: AttemptRow): AttemptInfo {
  return {
    attempt,
    outcome: outcome as AttemptOutcome,
    ...(started === null ? {} : { startedAt: Math.round(started) }),
    ...(ended === null ? {} : { endedAt: Math.round(ended) }),
    ...(thread === null ? {} : { thread }),
    ...(cpu === null ? {} : { cpu }),
    ...(error === null ? {} : { error: errorInfoOf(error) }),
  }
}

function errorInfoOf(text: string): NonNullable<AttemptInfo['error']> {
  const error = fromWireError(errorFromText(text))
  const { name, message, stack } = error
  const code = Reflect.get(error, 'code')
  return { name, message, ...(typeof code === 'string' && { code }), ...(stack !== undefined && { stack }) }
}
