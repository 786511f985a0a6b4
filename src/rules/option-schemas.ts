/**
 * The option schemas: types, defaults, messages and the reference page all come from here.
 * Each field's `describe` text is the sentence that the reference page prints.
 *
 * What not every program needs at once is lazy: to make a schema takes a twentieth of a millisecond for each of its
 * parts, and a program should not wait for those of options that it never gives.
 */
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { TERMINAL_STATES, UNFINISHED_STATES } from '../words/job.ts'

const count = z.int({ error: 'expected a whole number' }).min(1, 'expected a whole number of at least 1')
const orInfinity = z.literal(Number.POSITIVE_INFINITY)
const milliseconds = z
  .number({ error: 'expected milliseconds as a number' })
  .min(0, 'expected milliseconds, 0 or more')
const limit = z.union([milliseconds, orInfinity], { error: 'expected milliseconds, 0 or more, or Infinity' })
const maxCount = z.union([count, orInfinity], { error: 'expected a whole number of at least 1, or Infinity' })
const priority = z
  .number({ error: 'expected a number' })
  .min(-1e6, 'expected -1000000 to 1000000')
  .max(1e6, 'expected -1000000 to 1000000')
const name = z
  .string({ error: 'expected a non-empty string' })
  .min(1, 'expected a non-empty string')
  .max(200, 'expected at most 200 characters')

const when = z.custom<'ok'>(
  (value) => value === 'ok' || value === 'error' || value === 'always' || typeof value === 'function',
  "expected 'ok', 'error', 'always' or a function",
)

const backoff = z.strictObject({
  type: z.enum(['exponential', 'fixed'], { error: "expected 'exponential' or 'fixed'" }).optional(),
  delay: milliseconds.optional(),
  max: milliseconds.optional(),
  jitter: z
    .union([z.boolean(), z.number().min(0).max(1)], { error: 'expected true, false or a number from 0 to 1' })
    .optional(),
})

const retry = z.strictObject({ maxAttempts: maxCount.optional(), backoff: backoff.optional() })

const schema = z.custom<object>(
  (value) =>
    (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value,
  'expected a Standard Schema, such as z.object({ ... })',
)

const kept = z.union([z.int().min(0), orInfinity], {
  error: 'expected a whole number of at least 0, or Infinity',
})

const retention = z
  .strictObject({ count: kept.optional(), age: limit.optional() })
  .refine(({ count: number, age }) => number !== undefined || age !== undefined, {
    error: 'expected `count`, `age` or both; { age: Infinity } keeps everything',
  })

const uniqueFunction = z.custom<() => string>((value) => typeof value === 'function')

/** What `defineTask` accepts. */
export const taskOptionsSchema = z.lazy(() =>
  z.strictObject({
    name: name.regex(/^[\w.:/-]+$/, 'expected letters, digits and . _ - : / only'),
    payload: schema.optional(),
    result: schema.optional(),
    handler: z.custom<string>(
      (value) => typeof value === 'string' || (typeof value === 'object' && value !== null),
      "expected new URL('./workers/name.js', import.meta.url)",
    ),
    pool: name.optional(),
    timeout: limit.optional(),
    queueTimeout: limit.optional(),
    killGrace: milliseconds.optional(),
    retry: retry.optional(),
    onCrash: z.enum(['retry', 'fail'], { error: "expected 'retry' or 'fail'" }).optional(),
    maxCrashes: count.optional(),
    priority: priority.optional(),
    concurrency: maxCount.optional(),
    key: z
      .union([name, z.custom<() => string>((value) => typeof value === 'function')], {
        error: 'expected a string or a function',
      })
      .optional(),
    unique: z
      .union(
        [
          z.boolean(),
          uniqueFunction,
          z.strictObject({ key: uniqueFunction.optional(), for: milliseconds.optional() }),
        ],
        {
          error: 'expected true, a function or { key, for }',
        },
      )
      .optional(),
    when: when.optional(),
    retention: retention.optional(),
  }),
)

/** What a call may say about one job. */
export const jobOptionsSchema = z.lazy(() =>
  z.strictObject({
    when: when.optional(),
    delay: milliseconds.optional(),
    runAt: z
      .union([z.date(), z.number()], { error: 'expected a Date or milliseconds since 1970' })
      .optional(),
    priority: priority.optional(),
    key: name.optional(),
    unique: z
      .union([z.boolean(), name, z.strictObject({ key: name.optional(), for: milliseconds.optional() })], {
        error: 'expected true, a string or { key, for }',
      })
      .optional(),
    timeout: limit.optional(),
    queueTimeout: limit.optional(),
    maxAttempts: maxCount.optional(),
    order: z.enum(['sequential', 'parallel'], { error: "expected 'sequential' or 'parallel'" }).optional(),
    transfer: z.array(z.instanceof(ArrayBuffer, { error: 'expected ArrayBuffers' })).optional(),
    signal: z.instanceof(AbortSignal, { error: 'expected an AbortSignal' }).optional(),
  }),
)

const state = () =>
  z.enum([...UNFINISHED_STATES, ...TERMINAL_STATES], {
    error: "expected a state of jobs, such as 'dead'",
  })
const terminal = () =>
  z.enum(TERMINAL_STATES, {
    error: "expected a state of jobs that are over: 'completed', 'cancelled', 'skipped' or 'dead'",
  })

/** Which jobs `runtime.jobs` lists. */
export const jobFilterSchema = z.lazy(() =>
  z.strictObject({
    state: z
      .union([state(), z.array(state())], {
        error: "expected a state of jobs, such as 'dead', or an array of them",
      })
      .optional(),
    task: name.optional(),
    limit: kept.optional(),
  }),
)

/** Which dead jobs `runtime.reviveAll` lets start over. */
export const reviveFilterSchema = z.lazy(() => z.strictObject({ task: name.optional() }))

/** Which jobs `runtime.removeAll` forgets. */
export const removeFilterSchema = z.lazy(() =>
  z.strictObject({ state: terminal().default('dead'), task: name.optional() }),
)

/** The options of one pool of threads. */
export const poolOptionsSchema = z
  .strictObject({
    threads: count
      .optional()
      .describe(
        'Threads, always up. Default: one less than the machine has processors, at least 1. Not together with min or max.',
      ),
    min: z
      .int({ error: 'expected a whole number' })
      .min(0)
      .optional()
      .describe('Threads that are always up, in a pool that grows. Default 1.'),
    max: count.optional().describe('Threads at most, in a pool that grows. Default: as `threads`.'),
    concurrency: count
      .max(4096)
      .default(1)
      .describe('Jobs that one thread runs at once. More than 1 suits jobs that mostly wait: an `io` pool.'),
    // Measured beside photographs being resized: at 10 the slowest hundredth of GET / took 10 ms, at 19 half of that.
    niceness: z
      .int({ error: 'expected a whole number' })
      .min(0)
      .max(19)
      .default(19)
      .describe(
        'How far threads step back for the event loop, as the unix nice value that is added (0 to 19).',
      ),
    resourceLimits: z
      .strictObject({
        maxOldGenerationSizeMb: z.number().positive().optional(),
        maxYoungGenerationSizeMb: z.number().positive().optional(),
        codeRangeSizeMb: z.number().min(0).optional(),
        stackSizeMb: z.number().positive().optional(),
      })
      .optional()
      .describe("Heap limits of each thread, as Node's worker_threads takes them. Buffers are outside them."),
    recycle: z
      .strictObject({ jobs: count.optional(), heapMb: z.number().positive().optional() })
      .optional()
      .describe('Replace a thread after so many jobs, or once its heap is over so many megabytes.'),
    isolation: z
      .enum(['thread', 'job'], { error: "expected 'thread' or 'job'" })
      .default('thread')
      .describe('`job`: a fresh thread for every job.'),
    idleTimeout: limit
      .default(10_000)
      .describe('Milliseconds after which a thread above `min` that has nothing to do ends.'),
    warmUp: z
      .boolean()
      .default(true)
      .describe('Import every handler of the pool when a thread starts, not at its first job.'),
    env: z
      .record(z.string(), z.string())
      .optional()
      .describe('The environment of the threads. Default: a copy of the process’s.'),
    execArgv: z.array(z.string()).optional().describe('Node options of the threads, such as --import.'),
  })
  .refine(({ threads, min, max }) => threads === undefined || (min === undefined && max === undefined), {
    path: ['threads'],
    error:
      'expected no `min` or `max` beside it: a pool that grows has those, one of a fixed size has `threads`',
  })
  .refine(({ min = 0, max = Number.POSITIVE_INFINITY }) => min <= max, {
    path: ['min'],
    error: 'expected a number that is not above `max`',
  })

/** Threads that a pool has unless told otherwise: one processor is left to the event loop. */
export function defaultThreads(): number {
  return Math.max(1, availableParallelism() - 1)
}

const bundles = z.strictObject({
  max: count
    .max(1024)
    .default(1024)
    .describe('Jobs in one message to a thread, at most. 1 turns bundles off.'),
  milliseconds: z
    .number()
    .min(0)
    .default(2)
    .describe('Expected run time that one bundle may hold, in milliseconds.'),
  force: z
    .boolean()
    .default(false)
    .describe('Fill every bundle to `max` whatever its expected run time: for tests.'),
})

const log = z.custom<boolean>(
  (value) => typeof value === 'boolean' || typeof value === 'function' || isLogger(value),
  'expected true, false, a function of a line, or a logger with the methods debug, info, warn and error',
)

function isLogger(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return ['debug', 'info', 'warn', 'error'].every((level) => typeof Reflect.get(value, level) === 'function')
}

/** What `createRuntime` accepts. */
export const runtimeOptionsSchema = z.strictObject({
  tasks: z
    .union(
      [
        z.array(
          z.custom<object>(
            (value) => typeof value === 'object' && value !== null && 'policy' in value,
            'expected tasks made by defineTask',
          ),
        ),
        z.record(z.string(), z.unknown()),
      ],
      {
        error: 'expected an array of tasks',
      },
    )
    .describe('The tasks: an array, or a module of them (`import * as tasks`).'),
  broker: z
    .custom<object>(
      (value) => typeof value === 'object' && value !== null && 'claim' in value,
      'expected a broker, such as sqliteBroker({ file })',
    )
    .optional()
    .describe('Where jobs wait. Default: memory.'),
  pool: poolOptionsSchema.prefault({}).describe('The default pool of threads.'),
  pools: z
    .record(name, poolOptionsSchema)
    .default({})
    .describe('Further pools by name; a task chooses one with `pool`.'),
  maxPending: maxCount
    .default(100_000)
    .describe('Accepted, unfinished jobs at most; beyond it adding throws QueueFullError.'),
  timeout: limit
    .default(Number.POSITIVE_INFINITY)
    .describe('The `timeout` of tasks that name none, in milliseconds.'),
  retry: retry.optional().describe('The `retry` of tasks that name none. Default: no retries.'),
  killGrace: milliseconds
    .default(1000)
    .describe('Milliseconds between the soft abort of an attempt and the end of its thread.'),
  handlerGrace: milliseconds
    .default(5000)
    .describe('Milliseconds that jobs wait for their handler to end after the client has left.'),
  priorityAgeing: milliseconds
    .default(1000)
    .describe('Milliseconds of waiting that raise a job by one step of priority. 0: no ageing.'),
  retention: z
    .strictObject({ count: z.int().min(0).default(1000), age: limit.default(3_600_000) })
    .prefault({})
    .describe('How many finished jobs can still be looked up, and for how many milliseconds.'),
  bundles: bundles.prefault({}).describe('How many short jobs travel to a thread together.'),
  log: log
    .default(true)
    .describe(
      'Where lines go: `true` writes what nobody listens for to stderr, a function or a logger such as pino’s gets all.',
    ),
})

/** What `createRuntime` accepts, with every default filled in. */
export type ReadRuntimeOptions = z.output<typeof runtimeOptionsSchema>
/** What one pool accepts. */
export type PoolOptions = z.input<typeof poolOptionsSchema>
/** A pool's options with every default filled in. */
export type ReadPoolOptions = z.output<typeof poolOptionsSchema>
