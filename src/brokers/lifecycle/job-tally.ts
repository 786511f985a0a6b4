/** Counts jobs by task by looking at each record: what a broker does that has its jobs in memory. */
import type { JobRecord } from '../../rules/job-record.ts'
import { isStranger } from '../../rules/stranger.ts'
import { ClockOffset } from '../../words/clock-offset.ts'
import type { JobState } from '../../words/job.ts'
import type { BrokerHost } from '../port/host.ts'
import type { TaskTally } from '../port/tally.ts'
import { Slices } from './slices.ts'

interface Counting {
  readonly pool: string | undefined
  readonly states: Partial<Record<JobState, number>>
  /** On the monotonic clock. */
  oldest: number | undefined
}

/** Counts these jobs by task, a slice of them at a time. Those that come or go meanwhile may be counted or not. */
export async function tallyAmong(
  jobs: Iterable<JobRecord>,
  { clock }: Pick<BrokerHost, 'clock'>,
): Promise<TaskTally[]> {
  const byTask = new Map<string, Counting>()
  const slices = new Slices(clock)
  for (const job of jobs) {
    count(byTask, job)
    if (slices.looked()) await slices.rest()
  }
  const offset = new ClockOffset(clock)
  return [...byTask].map(([task, { pool, states, oldest }]) => ({
    ...{ task, pool, states },
    oldest: oldest === undefined ? undefined : Math.round(offset.wall(oldest)),
  }))
}

function count(byTask: Map<string, Counting>, { entry, state, readyAt }: JobRecord): void {
  const { task } = entry
  let counting = byTask.get(task.name)
  if (counting === undefined) {
    counting = { pool: isStranger(entry) ? undefined : task.policy.pool, states: {}, oldest: undefined }
    byTask.set(task.name, counting)
  }
  const { states } = counting
  states[state] = (states[state] ?? 0) + 1
  if (state === 'available') counting.oldest = Math.min(readyAt, counting.oldest ?? readyAt)
}
