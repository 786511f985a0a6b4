/** What a runtime asks of all jobs that fit a filter. */
import type { JobConditions, JobSearch } from '../brokers/port/search.ts'
import { refusal } from '../rules/arguments.ts'
import { jobQuerySchema, type ReadConditions } from '../rules/filter-schemas.ts'
import type { JobPage } from '../rules/job-query.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { readOptions } from '../rules/options.ts'
import type { Engine } from './engine.ts'
import { infoOf } from './job.ts'

/** What is needed of the engine to ask for jobs. */
export type AskedOf = Pick<Engine, 'broker' | 'jobs' | 'registry' | 'pools'>

/** One page of the facts of the jobs that fit. */
export async function listJobs(engine: AskedOf, query: unknown): Promise<JobPage> {
  const { order, limit, budget, cursor, ...conditions } = readOptions(
    jobQuerySchema,
    query,
    'jobs',
    'the query',
  )
  const after = cursor === undefined ? undefined : placeIn(cursor, order)
  const { jobs, next, searched } = await engine.broker.jobs.search({
    ...conditionsOf(engine, conditions, 'jobs'),
    ...{ order, limit, budget },
    ...(after !== undefined && { after }),
  })
  return {
    jobs: jobs.map((record) => infoOf(record, engine.jobs)),
    ...(next !== undefined && { next: `${order}:${next}` }),
    searched,
  }
}

/**
 * The jobs that fit, a page in each turn of the event loop, until the signal aborts. The newest first: what is added meanwhile
 * is never met.
 */
export async function* pagesOf(
  { broker, clock }: Pick<Engine, 'broker' | 'clock'>,
  conditions: JobConditions,
  page: Pick<JobSearch, 'limit' | 'budget'>,
  signal?: AbortSignal,
): AsyncGenerator<readonly JobRecord[]> {
  let after: string | undefined
  do {
    if (signal?.aborted === true) return
    const found = await broker.jobs.search({
      ...conditions,
      ...page,
      order: 'newest',
      ...(after !== undefined && { after }),
    })
    if (found.jobs.length > 0) yield found.jobs
    after = found.next
    if (after !== undefined) await new Promise<void>((resolve) => clock.soon(resolve))
  } while (after !== undefined)
}

function placeIn(cursor: string, order: string): string {
  if (cursor.startsWith(`${order}:`)) return cursor.slice(order.length + 1)
  throw refusal('jobs', 'option "cursor"', cursor, '`next` of the page before, with the same query')
}

/** Which jobs a query means, as a broker is told. `call`: what was called. */
export function conditionsOf(
  engine: AskedOf,
  { state, task, pool, ...rest }: ReadConditions,
  call: string,
): JobConditions {
  for (const name of task ?? []) if (!name.includes('*')) knownTask(engine, name, call)
  if (engine.broker.durability === null) {
    for (const name of pool ?? []) engine.pools.expectKnown(name, call)
  }
  const given = Object.entries(rest).filter(([, value]) => value !== undefined)
  return {
    ...(state !== undefined && { states: state }),
    ...(task !== undefined && { tasks: task }),
    ...(pool !== undefined && { pools: pool }),
    ...(Object.fromEntries(given) as JobConditions),
  }
}

/** A task that a filter names. Where jobs outlive the process, there may be some of a task that it does not have. */
function knownTask({ broker, registry }: AskedOf, task: string, call: string): string {
  if (broker.durability === null) registry.find(task, call)
  return task
}
