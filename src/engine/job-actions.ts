/** What can be done with one job, by its id: for the runtime. Each tells the audit who did what. */
import { expectJobId } from '../rules/arguments.ts'
import { actorSchema, runAgainSchema } from '../rules/option-schemas.ts'
import { readOptions } from '../rules/options.ts'
import { PayloadNotKeptError } from '../words/errors.ts'
import { isTerminal, type JobOptions } from '../words/job.ts'
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
export async function cancelJob(engine: Engine, id: unknown, reason: unknown): Promise<boolean> {
  const record = await engine.jobs.find(expectJobId('cancel', id))
  return record !== undefined && engine.jobs.cancelAndWait(record, reason)
}

/** Lets a dead job start over; false when it cannot. */
export async function reviveJob(engine: Engine, id: unknown): Promise<boolean> {
  const record = await engine.jobs.find(expectJobId('revive', id))
  return record !== undefined && engine.jobs.revive(record)
}

/** Forgets a job that is over; false when it is not. */
export async function removeJob(engine: Engine, id: unknown): Promise<boolean> {
  const record = await engine.jobs.find(expectJobId('remove', id))
  if (record === undefined || !isTerminal(record.state)) return false
  return engine.broker.jobs.remove(record)
}

/** Lets a job that waits for its time, or its next attempt, be due; false when it has begun, is over or unknown. */
export async function runJobNow(engine: Engine, id: unknown, options: unknown): Promise<boolean> {
  expectJobId('runNow', id)
  readOptions(actorSchema, options, 'runNow')
  const record = await engine.jobs.find(id as string)
  if (record === undefined) return false
  return engine.jobs.change(record, { dueAt: engine.clock.now() }, 'runNow')
}

/** Changes a job that has not begun; false when it has, is over or unknown. */
export async function changeJob(
  engine: Engine,
  id: unknown,
  change: unknown,
  options: unknown,
): Promise<boolean> {
  expectJobId('change', id)
  readOptions(actorSchema, options, 'change')
  const record = await engine.jobs.find(id as string)
  if (record === undefined || isTerminal(record.state)) return false
  return engine.jobs.change(record, readChange(engine, record, change), 'change')
}

/** Adds a job as another one was; undefined when that is unknown. */
export async function runJobAgain(engine: Engine, id: unknown, options: unknown): Promise<Job | undefined> {
  expectJobId('runAgain', id)
  const read = readOptions(runAgainSchema, options, 'runAgain')
  const record = await engine.jobs.find(id as string)
  if (record === undefined) return undefined
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
  return new Job(engine.intake.take({ ...call, payload, isParsed: !isEdited }), engine.jobs)
}
