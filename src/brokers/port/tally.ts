/** The part of the broker port that counts jobs by task. */
import type { JobState } from '../../words/job.ts'

/** How many jobs of one task there are. */
export interface TaskTally {
  readonly task: string
  /** Its pool; undefined for a task that this process does not have. */
  readonly pool: string | undefined
  /** How many are in each state; a state without any may be absent. */
  readonly states: Readonly<Partial<Record<JobState, number>>>
  /**
   * Since when a job of it could run and does not, in milliseconds since 1970: the one for which that is longest, or where the
   * broker has too many of them to look at each, the one that goes next.
   */
  readonly oldest: number | undefined
}
