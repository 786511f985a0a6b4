/** What a runtime tells of all jobs together: how many there are of each kind, how long the oldest waits, how jobs fail. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TaskTally } from '../brokers/port/tally.ts'
import { FailureGroups, sameMessage } from '../rules/failure-groups.ts'
import { countsSchema, failureQuerySchema, oldestSchema } from '../rules/filter-schemas.ts'
import { wordsOf } from '../rules/job-match.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { readOptions } from '../rules/options.ts'
import { type JobInfo, type JobState, noCounts } from '../words/job.ts'
import type { Engine } from './engine.ts'
import { infoOf } from './job.ts'
import { conditionsOf, pagesOf } from './job-queries.ts'

/** How many jobs are in each state. */
export type StateCounts = Record<JobState, number>

/** Jobs that are dead for the same reason. */
export interface FailureGroup {
  readonly task: string
  /** The code of the error, or its name where it has none. */
  readonly code: string
  /** The message, with `#` in place of what differs from job to job. */
  readonly message: string
  /** Where in the user's own code it was thrown, of the newest. */
  readonly frame?: string
  readonly count: number
  /** When the first and the last of them ended, in milliseconds since 1970. */
  readonly firstAt: number
  readonly lastAt: number
  /** None of them had ended before this process was started. */
  readonly isNew: boolean
  /** The newest of them. */
  readonly sample: JobInfo
}

// Jobs that are fetched at a time, and jobs between two turns of the event loop.
const PAGE = 1000
const TURN = 200

type AskedOf = Pick<Engine, 'broker' | 'jobs' | 'registry' | 'pools' | 'redaction' | 'clock' | 'startedAt'>

/** How many jobs are in each state: of all, of each task or of each pool. */
export async function countJobs(
  engine: AskedOf,
  options: unknown,
): Promise<StateCounts | Record<string, StateCounts>> {
  const { by } = readOptions(countsSchema, options, 'counts')
  const { jobs } = engine.broker
  if (by === 'state') return jobs.counts()
  const counts: Record<string, StateCounts> = Object.create(null)
  for (const { task, pool, states } of await jobs.tally()) {
    // A task that this process does not have is in no pool that it knows.
    const name = by === 'task' ? task : (pool ?? '')
    counts[name] ??= noCounts()
    const of = counts[name]
    for (const [state, count] of Object.entries(states)) of[state as JobState] += count
  }
  return counts
}

/** For how many milliseconds the oldest of the jobs that could run has waited; undefined when there is none. */
export async function oldestAge(engine: AskedOf, options: unknown): Promise<number | undefined> {
  const { task, pool } = readOptions(oldestSchema, options, 'oldestAge')
  if (task !== undefined) conditionsOf(engine, { task: [task] }, 'oldestAge')
  if (pool !== undefined) conditionsOf(engine, { pool: [pool] }, 'oldestAge')
  const fits = (one: TaskTally): boolean =>
    (task === undefined || one.task === task) && (pool === undefined || one.pool === pool)
  const times = (await engine.broker.jobs.tally())
    .filter(fits)
    .flatMap(({ oldest }) => (oldest === undefined ? [] : [oldest]))
  if (times.length === 0) return undefined
  return Math.max(0, Math.round(engine.clock.wall()) - Math.min(...times))
}

/** The dead jobs that fit, by why they are dead; what came last first. */
export async function groupFailures(engine: AskedOf, query: unknown): Promise<FailureGroup[]> {
  const { limit, ...conditions } = readOptions(failureQuerySchema, query, 'failures', 'the query')
  const groups = new FailureGroups()
  const samples: JobRecord[] = []
  const asked = conditionsOf(engine, { ...conditions, state: ['dead'] }, 'failures')
  let left = limit
  for await (const jobs of pagesOf(engine, asked, {
    limit: Math.min(PAGE, limit),
    budget: Number.POSITIVE_INFINITY,
  })) {
    for (const job of jobs.slice(0, left)) {
      if (left-- % TURN === 0) await nextTurn()
      add(engine, groups, samples, job)
    }
    if (left === 0) break
  }
  return groups.all().map(({ sample, frame, message, ...group }) => {
    const record = samples[sample] as JobRecord
    const info = infoOf(record, engine.jobs)
    return {
      ...group,
      // What is secret is hidden before the rest of the message is made the same.
      message: info.error === undefined ? message : sameMessage(info.error.message),
      ...(frame !== undefined && { frame }),
      isNew: group.firstAt >= engine.startedAt,
      sample: info,
    }
  })
}

function add(engine: AskedOf, groups: FailureGroups, samples: JobRecord[], job: JobRecord): void {
  const error = job.extras?.errors?.at(-1)
  if (error === undefined) return
  const { name, message, code } = wordsOf(error)
  const words = { name, message, code, stack: error.stack }
  samples.push(job)
  groups.add(job.entry.task.name, words, engine.jobs.wallTime(job.readyAt), samples.length - 1)
}
