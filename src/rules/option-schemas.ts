/**
 * The option schemas: types, defaults, messages and the reference page all come from here.
 * Each field's `describe` text is the sentence that the reference page prints.
 *
 * What not every program needs at once is lazy: to make a schema takes a twentieth of a millisecond for each of its
 * parts, and a program should not wait for those of options that it never gives.
 */
import { availableParallelism } from 'node:os'
import { types } from 'node:util'
import { z } from 'zod'
import { describeValue } from '../words/errors.ts'
import { isKey, isSynchronous, KEY_EXPECTED } from './arguments.ts'

const count = z.int({ error: 'expected a whole number' }).min(1, 'expected a whole number of at least 1')
const orInfinity = z.literal(Number.POSITIVE_INFINITY)
const milliseconds = z
  .number({ error: 'expected milliseconds as a number' })
  .min(0, 'expected milliseconds, 0 or more')
/** A time that may be without end. */
export const limit = z.union([milliseconds, orInfinity], {
  error: 'expected milliseconds, 0 or more, or Infinity',
})
const maxCount = z.union([count, orInfinity], { error: 'expected a whole number of at least 1, or Infinity' })
const priority = z
  .number({ error: 'expected a number' })
  .min(-1e6, 'expected -1000000 to 1000000')
  .max(1e6, 'expected -1000000 to 1000000')
/** A name that a user gives. */
export const name = z
  .string({ error: 'expected a non-empty string' })
  .min(1, 'expected a non-empty string')
  .max(200, 'expected at most 200 characters')

/** An object of options; `example` shows what is meant to whoever gives something else. */
function options<Shape extends z.ZodRawShape>(shape: Shape, example: string) {
  return z.strictObject(shape, {
    error: ({ code }) => (code === 'invalid_type' ? `expected an object such as ${example}` : undefined),
  })
}

// A promise would be true to everybody who asks.
const when = z.custom<'ok'>(
  (value) => value === 'ok' || value === 'error' || value === 'always' || isSynchronous(value),
  "expected 'ok', 'error', 'always' or a function that is not asynchronous",
)

const backoff = options(
  {
    type: z.enum(['exponential', 'fixed'], { error: "expected 'exponential' or 'fixed'" }).optional(),
    delay: milliseconds.optional(),
    max: milliseconds.optional(),
    jitter: z
      .union([z.boolean(), z.number().min(0).max(1)], {
        error: 'expected true, false or a number from 0 to 1',
      })
      .optional(),
  },
  "{ type: 'exponential', delay: 1000 }",
)

const retry = options(
  { maxAttempts: maxCount.optional(), backoff: backoff.optional() },
  '{ maxAttempts: 3, backoff: { delay: 1000 } }',
)

const schema = z.custom<object>(
  isSchema,
  'expected a Standard Schema, such as z.object({ ... }) of zod 3.24 or newer',
)

function isSchema(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const standard: unknown = Reflect.get(value, '~standard')
  if (typeof standard !== 'object' || standard === null) return false
  return typeof Reflect.get(standard, 'validate') === 'function'
}

/** How many jobs to keep or to list. */
export const kept = z.union(
  [z.int().min(0, 'expected a whole number of at least 0, or Infinity'), orInfinity],
  {
    error: 'expected a whole number of at least 0, or Infinity',
  },
)

const retention = options(
  { count: kept.optional(), age: limit.optional() },
  '{ count: 100, age: 60_000 }',
).refine(({ count: number, age }) => number !== undefined || age !== undefined, {
  error: 'expected `count`, `age` or both; { age: Infinity } keeps everything',
})

const ofPayload = z.custom<() => string>(
  isSynchronous,
  'expected a function of the payload that is not asynchronous',
)
const key = z.custom<string>(isKey, `expected ${KEY_EXPECTED}`)

// How long a job is unique, and what becomes of an equal one; `key` says what is equal.
const uniqueTerms = {
  for: milliseconds.optional(),
  while: z.enum(['pending', 'waiting'], { error: "expected 'pending' or 'waiting'" }).optional(),
  replace: z.boolean({ error: 'expected true or false' }).optional(),
}

const uniqueExample = "{ key, for: 60_000 }, { key, while: 'waiting' } or { key, replace: true }"

function uniqueRule<Key extends z.ZodType>(own: Key) {
  return z
    .strictObject({ key: own.optional(), ...uniqueTerms })
    .refine((rule) => rule.for === undefined || (rule.while === undefined && rule.replace !== true), {
      path: ['for'],
      error: 'expected neither `while` nor `replace` beside it: a time, or a stage of the job',
    })
    .refine(({ while: stage, replace }) => stage !== 'pending' || replace !== true, {
      path: ['while'],
      error: "expected 'waiting' beside `replace`: a job that has started is not replaced",
    })
}

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
      .union([key, ofPayload], {
        error: `expected ${KEY_EXPECTED}, or a function of the payload that is not asynchronous`,
      })
      .optional(),
    unique: z
      .union([z.boolean(), ofPayload, uniqueRule(ofPayload)], {
        error: `expected true, a function of the payload that is not asynchronous, ${uniqueExample}`,
      })
      .optional(),
    when: when.optional(),
    retention: retention.optional(),
  }),
)

const runAt = z.custom<Date | number>(
  (value) => (types.isDate(value) ? isTime(timeOf(value)) : typeof value === 'number' && isTime(value)),
  'expected a valid Date, or milliseconds since 1970',
)

/** The time of a `Date`, also of one that another realm has made. */
export function timeOf(at: Date | number): number {
  return typeof at === 'number' ? at : Date.prototype.getTime.call(at)
}

// What a Date can hold.
function isTime(time: number): boolean {
  return Math.abs(time) <= 8.64e15
}

const buffer = z.custom<ArrayBuffer>(types.isArrayBuffer, {
  error: ({ input }) =>
    ArrayBuffer.isView(input) ? 'expected an ArrayBuffer: give its .buffer' : 'expected an ArrayBuffer',
})

const signal = z.custom<AbortSignal>(isSignal, {
  error: ({ input }) =>
    describeValue(input) === 'an AbortController'
      ? 'expected an AbortSignal: give controller.signal'
      : 'expected an AbortSignal',
})

// By its shape: test environments bring classes of their own.
function isSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (typeof Reflect.get(value, 'aborted') !== 'boolean') return false
  return (['addEventListener', 'removeEventListener'] as const).every(
    (method) => typeof Reflect.get(value, method) === 'function',
  )
}

const jobOptions = {
  delay: milliseconds.optional(),
  priority: priority.optional(),
  key: key.optional(),
  timeout: limit.optional(),
  queueTimeout: limit.optional(),
  maxAttempts: maxCount.optional(),
}

/** What a call may say about one job. */
export const jobOptionsSchema = z.lazy(() =>
  z.strictObject({
    when: when.optional(),
    delay: jobOptions.delay,
    runAt: runAt.optional(),
    priority: jobOptions.priority,
    key: jobOptions.key,
    unique: z
      .union([z.boolean(), key, uniqueRule(key)], { error: `expected true, a string, ${uniqueExample}` })
      .optional(),
    timeout: jobOptions.timeout,
    queueTimeout: jobOptions.queueTimeout,
    maxAttempts: jobOptions.maxAttempts,
    order: z.enum(['sequential', 'parallel'], { error: "expected 'sequential' or 'parallel'" }).optional(),
    transfer: z.array(buffer, { error: 'expected an array of ArrayBuffers' }).optional(),
    signal: signal.optional(),
  }),
)

/** What a handler may say about a job that it adds. */
export const nestedJobOptionsSchema = z.lazy(() =>
  z.strictObject({
    ...jobOptions,
    unique: z.union([z.boolean(), key], { error: 'expected true, false or a string' }).optional(),
  }),
)

// Each is a heap of its own: more is a slip of the pen.
const threadCount = count.max(1024, 'expected at most 1024 threads')

/** The options of one pool of threads. */
export const poolOptionsSchema = z
  .strictObject({
    threads: threadCount
      .optional()
      .describe(
        'Threads, always up. Default: one less than the machine has processors, at least 1. Not together with min or max.',
      ),
    min: z
      .int({ error: 'expected a whole number' })
      .min(0)
      .max(1024, 'expected at most 1024 threads')
      .optional()
      .describe('Threads that are always up, in a pool that grows. Default 1.'),
    max: threadCount.optional().describe('Threads at most, in a pool that grows. Default: as `threads`.'),
    concurrency: count
      .max(4096, 'expected a whole number from 1 to 4096')
      .default(1)
      .describe('Jobs that one thread runs at once. More than 1 suits jobs that mostly wait: an `io` pool.'),
    // Measured beside photographs being resized: at 10 the slowest hundredth of GET / took 10 ms, at 19 half of that.
    niceness: z
      .int({ error: 'expected a whole number' })
      .min(0, 'expected a whole number from 0 to 19')
      .max(19, 'expected a whole number from 0 to 19')
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
      .describe(
        'The environment of the threads. Default: a copy of the process’s, as it is when the runtime is made.',
      ),
    execArgv: z
      .array(z.string())
      .optional()
      .describe(
        'Node options of the threads, such as --import. A relative path is read from the working directory in which the runtime is made.',
      ),
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

/** The pool that is there without being asked for; its thread starts when a task names it. */
export const IO_POOL = { threads: 1, concurrency: 32 } as const

/** Threads that a pool has unless told otherwise: one processor is left to the event loop. */
export function defaultThreads(): number {
  return Math.max(1, availableParallelism() - 1)
}

const bundles = z.strictObject({
  max: count
    .max(1024, 'expected a whole number from 1 to 1024')
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

const BROKER_METHODS = [
  ...['open', 'add', 'release', 'peek', 'claim', 'giveBack', 'retry', 'finish', 'duplicateOf', 'get', 'list'],
  ...['revive', 'nextDue', 'counts', 'close'],
]

function isBroker(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return BROKER_METHODS.every((method) => typeof Reflect.get(value, method) === 'function')
}

/** What `createRuntime` accepts. */
export const runtimeOptionsSchema = z.strictObject({
  tasks: z
    .custom<object>((value) => typeof value === 'object' && value !== null, 'expected an array of tasks')
    .describe('The tasks: an array, or a module of them (`import * as tasks`).'),
  broker: z
    .custom<object>(isBroker, 'expected a broker, such as sqliteBroker({ file })')
    .optional()
    .describe('Where jobs wait. Default: memory.'),
  pool: poolOptionsSchema.prefault({}).describe('The default pool of threads.'),
  pools: z
    .record(name, poolOptionsSchema, {
      error: 'expected an object such as { io: { threads: 1, concurrency: 32 } }',
    })
    .default({})
    .describe(
      'Further pools by name; a task chooses one with `pool`. A pool `io` is there without: one thread that runs 32 jobs at once.',
    ),
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
