/** The schemas of what `Runtime` takes besides jobs: which of them are meant, and how it stops. */
import { types } from 'node:util'
import { z } from 'zod'
import { JOB_STATES, type JobState, TERMINAL_STATES, UNFINISHED_STATES } from '../words/job.ts'
import { isKey, KEY_EXPECTED } from './arguments.ts'
import { kept, limit, moment, name, signal, timeOf } from './option-schemas.ts'
import { closest } from './options.ts'
import { isTask } from './task.ts'

// What other queues call these states.
const OTHER_NAMES = new Map<string, JobState>([
  ['failed', 'dead'],
  ['error', 'dead'],
  ['discarded', 'dead'],
  ['done', 'completed'],
  ['success', 'completed'],
  ['succeeded', 'completed'],
  ['active', 'running'],
  ['executing', 'running'],
  ['delayed', 'scheduled'],
  ['retrying', 'retryable'],
  ['queued', 'available'],
  ['ready', 'available'],
  ['canceled', 'cancelled'],
])

function stateIn<const States extends readonly JobState[]>(states: States) {
  return z.enum(states, {
    error: ({ input }) => `expected one of ${states.join(', ')}${hint(states, input)}`,
  })
}

function hint(states: readonly JobState[], input: unknown): string {
  const text = typeof input === 'string' ? input.toLowerCase() : ''
  const meant = OTHER_NAMES.get(text) ?? closest(text, states)
  return meant !== undefined && states.includes(meant as JobState) ? `; did you mean '${meant}'` : ''
}

/** A task as a filter names it: by its name, or by itself. */
const taskName = z.union([name, z.custom<{ readonly name: string }>(isTask).transform((task) => task.name)], {
  error: 'expected a task or its name',
})

const anyStates = z.union([stateIn(JOB_STATES), z.array(stateIn(JOB_STATES))], {
  error: ({ input }) =>
    `expected one of ${JOB_STATES.join(', ')}, or an array of these${hint(JOB_STATES, input)}`,
})

const word = z
  .string({ error: 'expected a non-empty string' })
  .min(1, 'expected a non-empty string')
  .max(1000, 'expected at most 1000 characters')

const keyText = z.custom<string>(isKey, `expected ${KEY_EXPECTED}`)

const fields = z.custom<Readonly<Record<string, unknown>>>(
  (value) => isFields(value),
  "expected fields by their path and what they hold, such as { 'user.id': 7 }",
)

function isFields(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.keys(value).length > 0 && Object.values(value).every(isSought)
}

function isSought(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isSought)
  if (types.isDate(value)) return true
  if (typeof value === 'object' && value !== null) return Object.values(value).every(isSought)
  return value !== undefined && typeof value !== 'function' && typeof value !== 'symbol'
}

const time = moment.transform(timeOf)

/** What says which jobs are meant, wherever a query is taken. */
const conditions = {
  state: anyStates.transform((given) => [given].flat()).optional(),
  task: z
    .union([taskName.transform((one) => [one]), z.array(taskName)], {
      error: 'expected a task, its name, or an array of these',
    })
    .optional(),
  pool: z
    .union([name.transform((one) => [one]), z.array(name)], {
      error: 'expected the name of a pool, or an array of these',
    })
    .optional(),
  key: keyText.optional(),
  batch: keyText.optional(),
  requestId: word.optional(),
  since: time.optional(),
  until: time.optional(),
  endedSince: time.optional(),
  endedUntil: time.optional(),
  error: word.optional(),
  payload: fields.optional(),
  text: word.optional(),
}

/** Which jobs `runtime.jobs` lists. */
export const jobQuerySchema = z.lazy(() =>
  z.strictObject({
    ...conditions,
    order: z.enum(['newest', 'oldest'], { error: "expected 'newest' or 'oldest'" }).default('newest'),
    limit: kept.default(100),
    cursor: word.optional(),
    budget: limit.default(80),
  }),
)

/** What `runtime.job` takes. */
export const jobViewSchema = z.lazy(() => {
  const flag = z.boolean({ error: 'expected true or false' }).default(false)
  return z.strictObject({
    payload: flag,
    logs: flag,
    detail: flag,
    reveal: flag,
    most: kept.default(Number.POSITIVE_INFINITY),
  })
})

/** Which dead jobs `runtime.failures` groups. */
export const failureQuerySchema = z.lazy(() => {
  const { state: _, batch: __, ...some } = conditions
  return z.strictObject({ ...some, limit: kept.default(5000) })
})

/** What `runtime.counts` takes. */
export const countsSchema = z.lazy(() =>
  z.strictObject({
    by: z.enum(['state', 'task', 'pool'], { error: "expected 'state', 'task' or 'pool'" }).default('state'),
  }),
)

/** What `runtime.oldestAge` takes. */
export const oldestSchema = z.lazy(() => z.strictObject({ task: taskName.optional(), pool: name.optional() }))

/** What a query says of jobs, as it is read. */
export type ReadConditions = Omit<z.output<typeof jobQuerySchema>, 'order' | 'limit' | 'cursor' | 'budget'>

/** A query of an action, which some states allow of; `usual` are meant where it names none. */
function actingOn(states: readonly JobState[], usual: readonly JobState[] = states) {
  const one = stateIn(states)
  const state = z.union([one.transform((given) => [given]), z.array(one)], {
    error: ({ input }) => `expected one of ${states.join(', ')}${hint(states, input)}`,
  })
  return z.lazy(() => z.strictObject({ ...conditions, state: state.default(() => [...usual]) }))
}

/** Which jobs an action on all that fit can mean. */
export const bulkSchemas = {
  cancelAll: actingOn(UNFINISHED_STATES),
  reviveAll: actingOn(['dead']),
  removeAll: actingOn(TERMINAL_STATES, ['dead']),
  runNowAll: actingOn(['scheduled', 'retryable']),
} as const

/** What an action on all jobs that fit takes besides the query. */
export const bulkOptionsSchema = z.lazy(() =>
  z.strictObject({
    dryRun: z.boolean({ error: 'expected true or false' }).default(false),
    by: name.optional(),
    signal: signal.optional(),
  }),
)

/** What `waitUntil` takes besides the promise. */
export const waitUntilOptionsSchema = z.lazy(() =>
  z.strictObject({
    name: z.string({ error: 'expected a string' }).min(1, 'expected a name').default('unnamed'),
  }),
)

/** What `runtime.stop` takes. */
export const stopOptionsSchema = z.lazy(() => z.strictObject({ timeout: limit.default(10_000) }))
