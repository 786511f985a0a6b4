/**
 * The option schemas: types, defaults, messages and the reference page all come from here.
 * Each field's `describe` text is the sentence that the reference page prints.
 *
 * What not every program needs at once is lazy: to make a schema takes a twentieth of a millisecond for each of its
 * parts, and a program should not wait for those of options that it never gives.
 */
import { types } from 'node:util'
import { z } from 'zod'
import { describeValue } from '../words/errors.ts'
import { isKey, isSynchronous, KEY_EXPECTED } from './arguments.ts'
import { isPath, PATH_EXPECTED } from './redaction/paths.ts'

export const count = z
  .int({ error: 'expected a whole number' })
  .min(1, 'expected a whole number of at least 1')
const orInfinity = z.literal(Number.POSITIVE_INFINITY)
export const milliseconds = z
  .number({ error: 'expected milliseconds as a number' })
  .min(0, 'expected milliseconds, 0 or more')
/** A time that may be without end. */
export const limit = z.union([milliseconds, orInfinity], {
  error: 'expected milliseconds, 0 or more, or Infinity',
})
export const maxCount = z.union([count, orInfinity], {
  error: 'expected a whole number of at least 1, or Infinity',
})
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

export const retry = options(
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

/** How much of what handlers say is kept. */
export const logs = z.union(
  [z.literal(false), z.strictObject({ lines: kept.optional(), bytes: kept.optional() })],
  {
    error: 'expected false, or an object such as { lines: 200, bytes: 65_536 }',
  },
)

const redact = z.array(z.custom<string>(isPath, `expected ${PATH_EXPECTED}`), {
  error: `expected an array of paths, such as ['card.number', '*.token']`,
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
    redact: redact.optional(),
    logs: logs.optional(),
  }),
)

/** A time of the wall clock. */
export const moment = z.custom<Date | number>(
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

export const signal = z.custom<AbortSignal>(isSignal, {
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
    runAt: moment.optional(),
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

/** What `runtime.change` may change of a job. */
export const jobChangeSchema = z.lazy(() =>
  z.strictObject({
    priority: jobOptions.priority,
    delay: jobOptions.delay,
    runAt: moment.optional(),
    payload: z.unknown().optional(),
  }),
)

/** What every action on jobs may say besides. */
const actor = {
  by: name.optional(),
}

/** Who acts. */
export const actorSchema = z.lazy(() => z.strictObject(actor))

/** What `runtime.runAgain` may say. */
export const runAgainSchema = z.lazy(() => z.strictObject({ payload: z.unknown().optional(), ...actor }))

/** What a handler may say about a job that it adds. */
export const nestedJobOptionsSchema = z.lazy(() =>
  z.strictObject({
    ...jobOptions,
    unique: z.union([z.boolean(), key], { error: 'expected true, false or a string' }).optional(),
  }),
)
