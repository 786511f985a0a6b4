/**
 * What is done with all jobs that fit a query: page by page, each in a turn of its own, so that requests go on in between. A
 * job that comes to fit meanwhile is left alone.
 */
import type { JobConditions } from '../brokers/port/search.ts'
import { bulkOptionsSchema, bulkSchemas, type ReadConditions } from '../rules/filter-schemas.ts'
import type { JobQuery } from '../rules/job-query.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { readOptions } from '../rules/options.ts'
import { isTerminal } from '../words/job.ts'
import { audit } from './audit.ts'
import type { Engine } from './engine.ts'
import type { ActorOptions } from './job-actions.ts'
import { conditionsOf, pagesOf } from './job-queries.ts'

/** Which jobs an action on all that fit means: all conditions must hold. */
export type BulkQuery = Omit<JobQuery, 'order' | 'limit' | 'cursor' | 'budget'>

/** How an action on all jobs that fit is done. */
export interface BulkOptions extends ActorOptions {
  /** True: counts what fits, and changes nothing. */
  dryRun?: boolean
  /** Ends the action when it aborts: what is done stays done, and is counted. */
  signal?: AbortSignal
}

/** What an action on all jobs that fit has done. */
export interface BulkResult {
  /** Jobs that fitted when the action came to them. */
  readonly matched: number
  /** Those that it was done with. */
  readonly done: number
}

/** What is called. */
export type BulkCall = keyof typeof bulkSchemas

const ACTIONS = {
  cancelAll: 'cancel',
  reviveAll: 'revive',
  removeAll: 'remove',
  runNowAll: 'runNow',
} as const

// Jobs that are done with in one turn of the event loop, and milliseconds that the broker may look for them.
const PAGE = { limit: 200, budget: 80 }

/** Does one thing with every job that fits. */
export async function actOnAll(
  engine: Engine,
  call: BulkCall,
  query: unknown,
  options: unknown,
): Promise<BulkResult> {
  const read = readOptions(bulkSchemas[call], query, call, 'the query')
  const { dryRun, by, signal } = readOptions(bulkOptionsSchema, options, call)
  const conditions = conditionsOf(engine, read as ReadConditions, call)
  const action = ACTIONS[call]
  const act = dryRun ? undefined : doing(engine, call)
  let [matched, done] = [0, 0]
  const told = { action, by, query: shown(engine, conditions), dryRun }
  try {
    for await (const jobs of pagesOf(engine, conditions, PAGE, signal)) {
      matched += jobs.length
      // One that throws, as for want of room, must not hide what the others have done.
      const ends = act === undefined ? [] : await Promise.allSettled(jobs.map(act))
      done += ends.filter((end) => end.status === 'fulfilled' && end.value).length
      const { events } = engine.announcer
      if (events.has('action:progress')) events.emit('action:progress', { ...told, matched, done })
      const failed = ends.find((end) => end.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
  } finally {
    if (!dryRun) audit(engine, by, { action, on: { query: told.query }, count: done })
  }
  return { matched, done }
}

/** What is done with each. What a search finds is for looking at, so each is asked for by its id. */
function doing(engine: Engine, call: BulkCall): (found: JobRecord) => Promise<boolean> {
  const { broker, clock, jobs } = engine
  return async (found) => {
    const job = await jobs.find(jobs.idOf(found))
    if (job === undefined) return false
    if (call === 'cancelAll') return jobs.cancelAndWait(job, undefined)
    if (call === 'reviveAll') return jobs.reviveAndWait(job)
    if (call === 'removeAll') return isTerminal(job.state) && broker.jobs.remove(job)
    const isEarly = job.state === 'scheduled' || job.state === 'retryable'
    return isEarly && jobs.change(job, { dueAt: clock.now() }, call)
  }
}

/** The query as it may be told: what it says of a secret field is not. */
function shown({ redaction }: Engine, conditions: JobConditions): Readonly<Record<string, unknown>> {
  const { payload, ...rest } = conditions
  const fields = Object.entries(payload ?? {}).map(([path, value]) => {
    const name = path.slice(path.lastIndexOf('.') + 1)
    return [path, redaction.value(undefined, { [name]: value })[name]] as const
  })
  return { ...rest, ...(payload !== undefined && { payload: Object.fromEntries(fields) }) }
}
