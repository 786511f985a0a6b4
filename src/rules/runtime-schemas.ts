/**
 * The option schemas of `createRuntime` and of pools. Each field's `describe` text is the sentence that the reference
 * page prints.
 */
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { whyNoBroker } from './broker-shape.ts'
import { count, limit, logs, maxCount, milliseconds, name, retry } from './option-schemas.ts'

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
  milliseconds: limit
    .default(2)
    .describe(
      'Expected run time that one bundle may hold, in milliseconds. Infinity fills every bundle to `max`.',
    ),
})

const log = z.custom<boolean>(
  (value) => typeof value === 'boolean' || typeof value === 'function' || isLogger(value),
  'expected true, false, a function of a line, or a logger with the methods debug, info, warn and error',
)

function isLogger(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return ['debug', 'info', 'warn', 'error'].every((level) => typeof Reflect.get(value, level) === 'function')
}

const redact = z.union(
  [
    z.literal(false),
    z.strictObject({
      names: z.array(name, { error: "expected an array of names, such as ['iban']" }).optional(),
      defaults: z.boolean({ error: 'expected true or false' }).optional(),
    }),
  ],
  { error: "expected false, or an object such as { names: ['iban'] }" },
)

const TELEMETRY = ['added', 'sent', 'takenBack', 'ended']

function isTelemetry(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return TELEMETRY.every((method) => typeof Reflect.get(value, method) === 'function')
}

/** What `createRuntime` accepts. */
export const runtimeOptionsSchema = z.strictObject({
  tasks: z
    .custom<object>((value) => typeof value === 'object' && value !== null, 'expected an array of tasks')
    .describe('The tasks: an array, or a module of them (`import * as tasks`).'),
  broker: z
    .custom<object>((value) => whyNoBroker(value) === undefined, {
      error: ({ input }) => whyNoBroker(input) ?? '',
    })
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
  maxPendingBytes: maxCount
    .default(2 ** 30)
    .describe(
      'Bytes of payload of accepted, unfinished jobs that this process holds in memory at most; beyond it adding throws QueueFullError.',
    ),
  maxPayloadBytes: maxCount
    .default(2 ** 25)
    .describe('Bytes of one payload, encoded; a larger one is refused with PayloadTooLargeError.'),
  maxResultBytes: maxCount
    .default(2 ** 25)
    .describe('Bytes of one result, encoded; a job that returns more is dead, with ResultTooLargeError.'),
  maxProgressBytes: maxCount
    .default(2 ** 20)
    .describe('Bytes of a value for `ctx.progress()`, which throws ProgressTooLargeError for a larger one.'),
  maxLogBytes: maxCount
    .default(2 ** 16)
    .describe(
      'Bytes of the message of a line of `ctx.log`, which is cut, and of its data, which are left out.',
    ),
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
  logs: logs
    .optional()
    .describe(
      'How much of what handlers say is kept with each job: its last `lines` (1,000), and so many `bytes` (65,536); `false` for none.',
    ),
  redact: redact
    .optional()
    .describe(
      'Which keys are secret wherever values are shown: `{ names }` adds to the default ones, `{ defaults: false }` leaves those out, `false` hides nothing but the paths of tasks.',
    ),
  control: z
    .union([z.boolean(), z.string().min(1)], { error: 'expected true, false or the path of a socket' })
    .default(false)
    .describe(
      'Opens a unix socket through which `npx aftertask` reaches this process: at this path, or (`true`) in a folder that the command looks into.',
    ),
  reload: z
    .boolean()
    .default(false)
    .describe(
      'In development: replaces the threads when the file of a handler, or a file that it imports, has changed. Running jobs end first.',
    ),
  telemetry: z
    .custom<object>(isTelemetry, 'expected what openTelemetry() of aftertask/opentelemetry returns')
    .optional()
    .describe(
      'Makes traces of jobs and attempts: `openTelemetry()` of `aftertask/opentelemetry`. Default: none.',
    ),
})

/** What `createRuntime` accepts, with every default filled in. */
export type ReadRuntimeOptions = z.output<typeof runtimeOptionsSchema>
/** What one pool accepts. */
export type PoolOptions = z.input<typeof poolOptionsSchema>
/** A pool's options with every default filled in. */
export type ReadPoolOptions = z.output<typeof poolOptionsSchema>
