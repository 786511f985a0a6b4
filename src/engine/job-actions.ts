/** What can be done with one job, by its id: for the runtime. Each tells the audit who did what. */
import { expectJobId } from '../rules/arguments.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { actorSchema, runAgainSchema } from '../rules/option-schemas.ts'
import { readOptions } from '../rules/options.ts'
import { PayloadNotKeptError } from '../words/errors.ts'
import { isTerminal, type JobOptions } from '../words/job.ts'
import { audit } from './audit.ts'
import type { Engine } from './engine.ts'
import { Job } from './job.ts'
import { payloadValueOf, readChange } from './job-changes.ts'

/** Who acts: what the event `audit` tells. */
export interface ActorOptions {
  /** Who does it, such as the name of a user. */
  by?: string
}

/** What `runtime.runAgain` may say. */
export interface RunAgainOptions extends ActorOptions {
  /** Another payload than the job had; the task's schema checks it. */
  payload?: unknown
}

/** Cancels a job; false when it is unknown or over. */
export async function cancelJob(
  engine: Engine,
  id: unknown,
  reason: unknown,
  options: unknown,
): Promise<boolean> {
  return onJob(engine, 'cancel', id, options, (record) => engine.jobs.cancelAndWait(record, reason))
}

/** Lets a dead job start over; false when it cannot. */
export async function reviveJob(engine: Engine, id: unknown, options: unknown): Promise<boolean> {
  return onJob(engine, 'revive', id, options, (record) => engine.jobs.reviveAndWait(record))
}

/** Forgets a job that is over; false when it is not. */
export async function removeJob(engine: Engine, id: unknown, options: unknown): Promise<boolean> {
  return onJob(
    engine,
    'remove',
    id,
    options,
    (record) => isTerminal(record.state) && engine.broker.jobs.remove(record),
  )
}

/** Lets a job that waits for its time, or its next attempt, be due; false when it has begun, is over or unknown. */
export async function runJobNow(engine: Engine, id: unknown, options: unknown): Promise<boolean> {
  return onJob(engine, 'runNow', id, options, (record) =>
    engine.jobs.change(record, { dueAt: engine.clock.now() }, 'runNow'),
  )
}

/** Changes a job that has not begun; false when it has, is over or unknown. */
export async function changeJob(
  engine: Engine,
  id: unknown,
  change: unknown,
  options: unknown,
): Promise<boolean> {
  return onJob(
    engine,
    'change',
    id,
    options,
    (record) =>
      !isTerminal(record.state) && engine.jobs.change(record, readChange(engine, record, change), 'change'),
  )
}

/** Does something with a job, if there is one, and tells the audit. */
async function onJob(
  engine: Engine,
  action: 'cancel' | 'revive' | 'remove' | 'runNow' | 'change',
  id: unknown,
  options: unknown,
  act: (job: JobRecord) => boolean | Promise<boolean>,
): Promise<boolean> {
  const job = expectJobId(action, id)
  const { by } = readOptions(actorSchema, options, action)
  const record = await engine.jobs.find(job)
  const isDone = record !== undefined && (await act(record))
  audit(engine, by, { action, on: { job }, count: isDone ? 1 : 0 })
  return isDone
}

/** Adds a job as another one was; undefined when that is unknown. */
export async function runJobAgain(engine: Engine, id: unknown, options: unknown): Promise<Job | undefined> {
  expectJobId('runAgain', id)
  const read = readOptions(runAgainSchema, options, 'runAgain')
  const record = await engine.jobs.find(id as string)
  if (record === undefined) {
    audit(engine, read.by, { action: 'runAgain', on: { job: id as string }, count: 0 })
    return undefined
  }
  const { entry, extras, priority, state } = record
  const { task } = engine.registry.find(entry.task.name, 'runAgain')
  const isEdited = Object.hasOwn(read, 'payload')
  if (!isEdited && record.payload === undefined && task.payload !== undefined) {
    throw new PayloadNotKeptError(engine.jobs.idOf(record), state)
  }
  const { timeout, maxAttempts } = extras ?? {}
  // A key that the call gave; what the task makes of the payload it makes again.
  const key = typeof task.policy.key === 'function' ? undefined : extras?.key
  const how: JobOptions = {
    priority,
    ...(timeout !== undefined && { timeout }),
    ...(maxAttempts !== undefined && { maxAttempts }),
    ...(key !== undefined && { key }),
  }
  const payload = isEdited ? read.payload : payloadValueOf(record)
  const call = { door: 'call', task: task.name, options: how, batch: null, call: 'runAgain' } as const
  const job = new Job(engine.intake.take({ ...call, payload, isParsed: !isEdited }), engine.jobs)
  audit(engine, read.by, { action: 'runAgain', on: { job: id as string }, count: 1, added: job.id })
  return job
}
