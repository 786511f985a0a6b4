/**
 * The operations by which a runtime is asked and told from outside of its code: by a terminal over a socket, by a page over HTTP.
 * Each has a name, the permission that it takes, a schema of its arguments, and a function over the runtime. How an operation
 * gets here is not known here.
 */
import { z } from 'zod'
import { readOptions } from '../rules/options.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import type { Controlled } from './controlled.ts'

/** What somebody may be allowed to do. */
export const PERMISSIONS = [
  'view',
  'payload',
  'cancel',
  'revive',
  'remove',
  'enqueue',
  'change',
  'pause',
  'schedule',
  'inspect',
] as const

/** One thing that somebody may be allowed to do. */
export type Permission = (typeof PERMISSIONS)[number]

/** Who asks for an operation. */
export interface Caller {
  /** For the audit. */
  readonly by: string
  /** Aborts when the caller has left: what takes long ends then. */
  readonly signal: AbortSignal
}

/** One operation. */
export interface Operation {
  readonly permission: Permission
  /** What it does, in one sentence. */
  readonly does: string
  /** The arguments, as plain data. */
  readonly args: z.ZodObject
  /** Answers with plain data. */
  run(runtime: Controlled, args: never, caller: Caller): unknown
}

const text = z.string({ error: 'expected a string' }).min(1, 'expected a string that is not empty')
// The runtime reads its queries itself, and says what is wrong with them.
const query = z.record(z.string(), z.unknown(), { error: 'expected an object' }).default({})
const none = z.strictObject({})
const byId = z.strictObject({ id: text })
const byQuery = z.strictObject({
  query,
  dryRun: z.boolean({ error: 'expected true or false' }).default(false),
})
const ofPool = z.strictObject({ pool: text.optional() })

function operation<const Args extends z.ZodObject>(
  permission: Permission,
  does: string,
  args: Args,
  run: (runtime: Controlled, args: z.output<Args>, caller: Caller) => unknown,
): Operation {
  return { permission, does, args, run }
}

/** Every operation, by its name. */
export const OPERATIONS = {
  stats: operation('view', 'The process at this moment.', none, (runtime) => runtime.stats()),
  metrics: operation('view', 'What the process has counted.', none, (runtime) => runtime.metrics()),
  tasks: operation('view', 'The names of the tasks.', none, (runtime) =>
    runtime.tasks.map(({ name }) => name),
  ),
  counts: operation(
    'view',
    'How many jobs are in each state: of all, by task or by pool.',
    z.strictObject({ by: text.optional() }),
    (runtime, args) => runtime.counts(args as never),
  ),
  oldestAge: operation(
    'view',
    'How many milliseconds the oldest job has waited that could run; null when there is none.',
    z.strictObject({ task: text.optional(), pool: text.optional() }),
    async (runtime, args) => (await runtime.oldestAge(args as never)) ?? null,
  ),
  failures: operation(
    'view',
    'Dead jobs in groups of one cause.',
    z.strictObject({ query }),
    (runtime, args) => runtime.failures(args.query as never),
  ),
  jobs: operation('view', 'The jobs that fit a query.', z.strictObject({ query }), (runtime, args) =>
    runtime.jobs(args.query as never),
  ),
  job: operation(
    'view',
    'The facts of a job, with what its handler said; null when it is unknown. What is secret is hidden.',
    byId,
    async (runtime, { id }) => (await runtime.job(id, { logs: true })) ?? null,
  ),
  reveal: operation(
    'payload',
    'The same with what is secret in its values.',
    byId,
    async (runtime, { id }) => (await runtime.job(id, { logs: true, reveal: true })) ?? null,
  ),
  schedules: operation('view', 'Every schedule.', none, (runtime) => runtime.schedules()),
  runSchedule: operation(
    'schedule',
    'Adds a job of a schedule at once; null when there is no such schedule.',
    byId,
    async (runtime, { id }, { by }) => {
      const job = await runtime.runSchedule(id, { by })
      return job === undefined ? null : { id: job.id, name: job.name }
    },
  ),
  pauseSchedule: operation('schedule', 'Lets a schedule add no more jobs.', byId, (runtime, { id }, { by }) =>
    runtime.pauseSchedule(id, { by }),
  ),
  resumeSchedule: operation('schedule', 'Lets a schedule add jobs again.', byId, (runtime, { id }, { by }) =>
    runtime.resumeSchedule(id, { by }),
  ),
  cancel: operation(
    'cancel',
    'Cancels a job.',
    z.strictObject({ id: text, reason: text.optional() }),
    (runtime, { id, reason }, { by }) => runtime.cancel(id, reason, { by }),
  ),
  revive: operation('revive', 'Lets a dead job start over.', byId, (runtime, { id }, { by }) =>
    runtime.revive(id, { by }),
  ),
  runNow: operation('change', 'Lets a job be due at once.', byId, (runtime, { id }, { by }) =>
    runtime.runNow(id, { by }),
  ),
  change: operation(
    'change',
    'Changes a job that has not begun: its delay, its time, its priority or its payload.',
    z.strictObject({ id: text, change: z.record(z.string(), z.unknown()) }),
    (runtime, { id, change }, { by }) => runtime.change(id, change as never, { by }),
  ),
  runAgain: operation(
    'enqueue',
    'Adds a job as another one was, or with another payload; null when that is unknown.',
    z.strictObject({ id: text, payload: z.unknown().optional() }),
    async (runtime, { id, ...payload }, { by }) => {
      const job = await runtime.runAgain(id, { ...payload, by })
      return job === undefined ? null : { id: job.id, name: job.name }
    },
  ),
  remove: operation('remove', 'Forgets a job that is over.', byId, (runtime, { id }, { by }) =>
    runtime.remove(id, { by }),
  ),
  cancelAll: operation(
    'cancel',
    'Cancels all jobs that fit a query, or counts them.',
    byQuery,
    (runtime, args, caller) => runtime.cancelAll(args.query as never, { ...caller, dryRun: args.dryRun }),
  ),
  reviveAll: operation(
    'revive',
    'Lets all dead jobs that fit start over, or counts them.',
    byQuery,
    (runtime, args, caller) => runtime.reviveAll(args.query as never, { ...caller, dryRun: args.dryRun }),
  ),
  removeAll: operation(
    'remove',
    'Forgets all jobs that fit and are over, or counts them.',
    byQuery,
    (runtime, args, caller) => runtime.removeAll(args.query as never, { ...caller, dryRun: args.dryRun }),
  ),
  runNowAll: operation(
    'change',
    'Lets all jobs that fit be due at once, or counts them.',
    byQuery,
    (runtime, args, caller) => runtime.runNowAll(args.query as never, { ...caller, dryRun: args.dryRun }),
  ),
  pause: operation(
    'pause',
    'Starts no more jobs of a pool, or of all.',
    ofPool,
    (runtime, { pool }, { by }) => {
      runtime.pause(pool, { by })
      return true
    },
  ),
  resume: operation(
    'pause',
    'Starts jobs of a pool, or of all, again.',
    ofPool,
    (runtime, { pool }, { by }) => {
      runtime.resume(pool, { by })
      return true
    },
  ),
} satisfies Record<string, Operation>

/** The name of an operation. */
export type OperationName = keyof typeof OPERATIONS

/** @throws OptionsInvalidError when there is none of this name. */
function operationNamed(name: unknown): Operation {
  if (typeof name === 'string' && Object.hasOwn(OPERATIONS, name)) return OPERATIONS[name as OperationName]
  throw new OptionsInvalidError(
    `There is no operation of that name. There are: ${Object.keys(OPERATIONS).join(', ')}.`,
    'op',
  )
}

/**
 * Does an operation and resolves to its answer. `caller`: who asks for it.
 *
 * @throws OptionsInvalidError (as a rejection) when there is no such operation or its arguments do not fit; what the runtime
 * throws.
 */
export async function perform(
  runtime: Controlled,
  name: unknown,
  args: unknown,
  caller: Caller,
): Promise<unknown> {
  const { args: schema, run } = operationNamed(name)
  const read = readOptions(schema, args ?? {}, String(name), 'the arguments')
  return run(runtime, read as never, caller)
}
