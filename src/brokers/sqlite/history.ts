/** An attempt as the journal keeps it, as plain data for whoever asks. */
import { type AttemptRow, errorFromText } from '../../rules/journal-protocol.ts'
import type { AttemptInfo, AttemptOutcome } from '../../words/job.ts'
import { attemptInfo } from '../attempts.ts'

/** Reads a row of the history. */
export function attemptInfoOf(row: AttemptRow): AttemptInfo {
  const { attempt, outcome, started, ended, thread, cpu, error } = row
  return attemptInfo({
    attempt,
    outcome: outcome as AttemptOutcome,
    started: started ?? undefined,
    ended: ended ?? undefined,
    thread: thread ?? undefined,
    cpu: cpu ?? undefined,
    error: error === null ? undefined : errorFromText(error),
  })
}
