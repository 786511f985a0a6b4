/** The schemas of what `Runtime` takes besides jobs: which of them are meant, and how it stops. */
import { z } from 'zod'
import { type JobState, TERMINAL_STATES, UNFINISHED_STATES } from '../words/job.ts'
import { kept, limit, name } from './option-schemas.ts'
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

const ALL_STATES = [...UNFINISHED_STATES, ...TERMINAL_STATES] as const

/** A task as a filter names it: by its name, or by itself. */
const taskName = z.union([name, z.custom<{ readonly name: string }>(isTask).transform((task) => task.name)], {
  error: 'expected a task or its name',
})

/** Which jobs `runtime.jobs` lists. */
export const jobFilterSchema = z.lazy(() =>
  z.strictObject({
    state: z
      .union([stateIn(ALL_STATES), z.array(stateIn(ALL_STATES))], {
        error: ({ input }) =>
          `expected one of ${ALL_STATES.join(', ')}, or an array of these${hint(ALL_STATES, input)}`,
      })
      .optional(),
    task: taskName.optional(),
    limit: kept.optional(),
  }),
)

/** Which dead jobs `runtime.reviveAll` lets start over. */
export const reviveFilterSchema = z.lazy(() => z.strictObject({ task: taskName.optional() }))

/** Which jobs `runtime.removeAll` forgets. */
export const removeFilterSchema = z.lazy(() =>
  z.strictObject({ state: stateIn(TERMINAL_STATES).default('dead'), task: taskName.optional() }),
)

/** What `runtime.stop` takes. */
/** What `waitUntil` takes besides the promise. */
export const waitUntilOptionsSchema = z.lazy(() =>
  z.strictObject({
    name: z.string({ error: 'expected a string' }).min(1, 'expected a name').default('unnamed'),
  }),
)

export const stopOptionsSchema = z.lazy(() => z.strictObject({ timeout: limit.default(10_000) }))
