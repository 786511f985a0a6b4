/** The times of a file, after somebody has set the clock. */
import type { Statements } from './statements.ts'

// Clocks are set right by less all the time.
const STEP = 1000

/**
 * Moves all times in the file to where they are by the clock as it is now (`wall`), if somebody had set that while the run
 * before this one wrote, or has set it back since. Returns when somebody wrote last; undefined in a new file. Of a shared
 * file other processes have the same times: they stay.
 */
export function moveTimes(
  sql: Statements,
  run: number,
  { wall, isShared }: { wall: number; isShared: boolean },
): number | undefined {
  const [told = 0, lastAt] = (sql.ahead.get(run) ?? []) as number[]
  const behind = lastAt === undefined || isShared ? 0 : lastAt - told - wall
  const ahead = told + (behind > STEP ? behind : 0)
  if (ahead !== 0) {
    sql.moveJobs.run(ahead)
    sql.moveAttempts.run(ahead)
  }
  return lastAt === undefined ? undefined : lastAt - ahead
}
