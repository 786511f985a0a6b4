/** The times of a file, after somebody has set the clock. */
import type { Statements } from './statements.ts'

/**
 * Moves all times in the file to where they are by the clock as it is now, if somebody had set that while the run before this
 * one wrote. Returns when somebody wrote last; undefined in a new file.
 */
export function moveTimes(sql: Statements, run: number): number | undefined {
  const [ahead = 0, lastAt] = (sql.ahead.get(run) ?? []) as number[]
  if (ahead !== 0) {
    sql.moveJobs.run(ahead)
    sql.moveAttempts.run(ahead)
  }
  return lastAt === undefined ? undefined : lastAt - ahead
}
