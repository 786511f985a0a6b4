/** What can be done with one schedule, by its id: for the runtime. Each tells the audit who did what. */
import { refusal } from '../rules/arguments.ts'
import { actorSchema } from '../rules/option-schemas.ts'
import { readOptions } from '../rules/options.ts'
import { audit } from './audit.ts'
import type { Engine } from './engine.ts'
import { Job } from './job.ts'

/** Adds the job of a schedule now; undefined when there is no such schedule. */
export async function runScheduleNow(
  engine: Engine,
  id: unknown,
  options: unknown,
): Promise<Job | undefined> {
  const { schedule, by } = asked('runSchedule', id, options)
  const run = await engine.schedules.runOf(schedule)
  const call = { door: 'call', options: undefined, batch: null, call: 'runSchedule' } as const
  const job = run && new Job(engine.intake.take({ ...run, ...call }), engine.jobs)
  const added = job === undefined ? {} : { added: job.id }
  audit(engine, by, { action: 'run', on: { schedule }, count: job === undefined ? 0 : 1, ...added })
  return job
}

/** Pauses a schedule, or lets it go on; false when there is none. */
export async function pauseScheduleOf(
  engine: Engine,
  action: 'pause' | 'resume',
  id: unknown,
  options: unknown,
): Promise<boolean> {
  const { schedule, by } = asked(`${action}Schedule`, id, options)
  const isThere = await engine.schedules.pause(schedule, action === 'pause')
  audit(engine, by, { action, on: { schedule }, count: isThere ? 1 : 0 })
  return isThere
}

/** Takes a schedule away; false when there was none. */
export async function removeSchedule(engine: Engine, id: unknown, options: unknown): Promise<boolean> {
  const { schedule, by } = asked('unschedule', id, options)
  const isGone = await engine.schedules.remove(schedule)
  audit(engine, by, { action: 'unschedule', on: { schedule }, count: isGone ? 1 : 0 })
  return isGone
}

function asked(call: string, id: unknown, options: unknown): { schedule: string; by: string | undefined } {
  if (typeof id !== 'string') throw refusal(call, 'the id', id, 'the id of a schedule, a string')
  return { schedule: id, by: readOptions(actorSchema, options, call).by }
}
