/** What a runtime asks of all jobs that fit a filter. */
import type { JobFilter } from '../brokers/port/broker.ts'
import { jobFilterSchema, removeFilterSchema, reviveFilterSchema } from '../rules/filter-schemas.ts'
import { readOptions } from '../rules/options.ts'
import type { JobInfo } from '../words/job.ts'
import type { Engine } from './engine.ts'
import { infoOf } from './job.ts'

// Jobs that are looked at in one go.
const AT_A_TIME = 500

type AskedOf = Pick<Engine, 'broker' | 'jobs' | 'registry'>

/** The facts of the jobs that fit, newest first. */
export async function listJobs(engine: AskedOf, filter: unknown): Promise<JobInfo[]> {
  const { state, task, limit } = readOptions(jobFilterSchema, filter, 'jobs', 'the filter')
  const read: JobFilter = {}
  if (state !== undefined) read.state = state
  if (limit !== undefined) read.limit = limit
  if (task !== undefined) read.task = knownTask(engine, task, 'jobs')
  return (await engine.jobs.list(read)).map((record) => infoOf(record, engine.jobs))
}

/** Lets every dead job that fits start over; resolves to how many did. */
export async function reviveAll(engine: AskedOf, filter: unknown): Promise<number> {
  const { task } = readOptions(reviveFilterSchema, filter, 'reviveAll', 'the filter')
  if (task !== undefined) knownTask(engine, task, 'reviveAll')
  let revived = 0
  for (;;) {
    const dead = await engine.jobs.list({
      state: 'dead',
      limit: AT_A_TIME,
      ...(task !== undefined && { task }),
    })
    const started = dead.filter((record) => engine.jobs.revive(record)).length
    revived += started
    // What cannot start over (its unique key has a new holder) would be listed for ever.
    if (started === 0) return revived
  }
}

/** Forgets every job in a state that is over; resolves to how many. */
export async function removeAll(engine: AskedOf, filter: unknown): Promise<number> {
  const { state, task } = readOptions(removeFilterSchema, filter, 'removeAll', 'the filter')
  if (task !== undefined) knownTask(engine, task, 'removeAll')
  let removed = 0
  for (;;) {
    const over = await engine.jobs.list({ state, limit: AT_A_TIME, ...(task !== undefined && { task }) })
    const gone = await Promise.all(over.map((record) => engine.broker.jobs.remove(record)))
    const count = gone.filter(Boolean).length
    removed += count
    // What cannot go yet would be listed for ever.
    if (count === 0) return removed
  }
}

/** A task that a filter names. Where jobs outlive the process, there may be some of a task that it does not have. */
function knownTask({ broker, registry }: AskedOf, task: string, call: string): string {
  if (broker.durability === null) registry.find(task, call)
  return task
}
