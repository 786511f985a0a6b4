/** Tasks: what `defineTask` takes, and how a payload is checked against its schema. */
import { describeValue, OptionsInvalidError, type PayloadIssue } from '../words/errors.ts'
import type { LogLimits, UniqueTerms, When } from '../words/job.ts'
import { ignoreRejection, isThenable } from '../words/thenables.ts'
import { isA, isList, messageOf, readSafely, refusal } from './arguments.ts'
import {
  type CheckedHandler,
  type HandlerGiven,
  type HandlerRef,
  handlerLocation,
} from './handler-location.ts'
import { type LogsOption, logLimits } from './log-lines.ts'
import { taskOptionsSchema } from './option-schemas.ts'
import { readOptions } from './options.ts'
import type { Backoff, RetryPolicy } from './retry.ts'
import { retryPolicy } from './retry.ts'
import type { StandardIssue, StandardSchema } from './standard-schema.ts'

/** What `defineTask` takes. */
export interface TaskOptions<
  Name extends string,
  PayloadIn,
  PayloadOut,
  ResultIn,
  ResultOut,
  Given extends HandlerGiven = HandlerRef,
> {
  /** The task's name, unique in a runtime: what `req.after` and the broker know it by. Dots group names: `email.welcome`. */
  name: Name
  /** Any synchronous Standard Schema; zod is the documented one. Left out, the task takes no payload. */
  payload?: StandardSchema<PayloadIn, PayloadOut>
  /** Types and checks what the handler returns. Left out, the result is `unknown` and unchecked. */
  result?: StandardSchema<ResultIn, ResultOut>
  /** The module that holds the handler; it is imported in worker threads only. */
  handler: CheckedHandler<Given>
  /** The pool whose threads run it. Default `default`. */
  pool?: string
  /** Milliseconds an attempt may run, counted from its start. Default: no limit. */
  timeout?: number
  /** Milliseconds a job may wait for its first attempt, counted from acceptance. Default: no limit. */
  queueTimeout?: number
  /** Milliseconds between the soft abort (`ctx.signal`) and the end of the thread. Default: the runtime's, 1,000. */
  killGrace?: number
  /** Retries after a failure. Default: none. */
  retry?: { maxAttempts?: number; backoff?: Partial<Backoff> }
  /** What to do when the thread died under the job. Default `retry`. */
  onCrash?: 'retry' | 'fail'
  /** The crash that makes the job dead. Default 3: two further tries. */
  maxCrashes?: number
  /** A larger number goes first. Default 0. */
  priority?: number
  /** Jobs of this task that may run at once, over all threads of this process. Default: no limit. */
  concurrency?: number
  /** Jobs with the same key run one at a time, in the order added: a fixed key, or made from the payload. */
  key?: string | ((payload: PayloadOut) => string | undefined)
  /** At most one pending job with an equal payload (`true`) or an equal string made from the payload. */
  unique?:
    | boolean
    | ((payload: PayloadOut) => string)
    | ({ key?: (payload: PayloadOut) => string } & UniqueTerms)
  /** Which responses its jobs run after. Default `ok`. */
  when?: When
  /**
   * How many of its finished jobs are kept with their results, and for how many milliseconds, in place of the runtime's
   * `retention`: what is left out does not limit. Dead jobs have their own rule where the broker has one.
   */
  retention?: { count?: number; age?: number }
  /**
   * Parts of its payloads, results, progress and log data that nobody is to read, as paths: `card.number`, `*.token`,
   * `items[*].secret`, `**.iban`. Handlers get them as they are. See also `redact` of `createRuntime`.
   */
  redact?: readonly string[]
  /**
   * How much of what its handler says (`ctx.log` and what it prints) is kept with each job: the last so many lines, and so many
   * bytes; false for none. In place of the runtime's `logs`; what is left out is 1,000 lines or 65,536 bytes.
   */
  logs?: LogsOption
}

declare const types: unique symbol

/** A task: a name, a payload schema, the place of its handler, and a policy. Made by `defineTask`. */
export interface Task<
  Name extends string = string,
  PayloadIn = unknown,
  PayloadOut = unknown,
  Result = unknown,
> {
  readonly name: Name
  readonly payload: StandardSchema<unknown, unknown> | undefined
  readonly result: StandardSchema<unknown, unknown> | undefined
  /** The handler's module as a URL, and the export's name. */
  readonly handler: { readonly module: string; readonly export: string }
  readonly policy: TaskPolicy
  /** Carries the types of payload and result; never there at run time. */
  readonly [types]?: { payloadIn: PayloadIn; payloadOut: PayloadOut; result: Result }
}

/** A task's settings with every default filled in, but for those that the runtime decides. */
export interface TaskPolicy {
  readonly pool: string
  readonly timeout: number | undefined
  readonly queueTimeout: number
  readonly killGrace: number | undefined
  readonly retry: RetryPolicy | undefined
  readonly onCrash: 'retry' | 'fail'
  readonly maxCrashes: number
  readonly priority: number
  readonly concurrency: number
  readonly key: string | ((payload: never) => string | undefined) | undefined
  readonly unique:
    | boolean
    | ((payload: never) => string)
    | ({ key?: (payload: never) => string } & UniqueTerms)
    | undefined
  readonly when: When
  /** How long its finished jobs are kept; undefined: as the runtime says. */
  readonly retention: { readonly count: number; readonly age: number } | undefined
  /** What of its values is not shown. */
  readonly redact: readonly string[]
  /** How much of what its handler says is kept; undefined: as the runtime says. */
  readonly logs: LogLimits | undefined
}

/** Any task, whatever its types. */
// The payload types are erased with `any` inside this alias alone: a task is used both ways (its input goes in,
// its output comes out), so no single known type would accept every task.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyTask = Task<string, any, any, any>

/** What a task's payload may be when it is added. */
export type PayloadOf<T> = T extends { readonly [types]?: { payloadIn: infer In } } ? In : never
/** What the handler of a task receives. */
export type ParsedPayloadOf<T> = T extends { readonly [types]?: { payloadOut: infer Out } } ? Out : never
/** What a task's jobs result in. */
export type ResultOf<T> = T extends { readonly [types]?: { result: infer Result } } ? Result : never

/**
 * Defines a task: a typed, named piece of work whose handler runs on a worker thread.
 * Reads no file and imports no handler, so it is cheap and safe wherever the server is put together.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value.
 */
export function defineTask<
  const Name extends string,
  PayloadIn = undefined,
  PayloadOut = PayloadIn,
  ResultIn = unknown,
  ResultOut = ResultIn,
  const Given extends HandlerGiven = HandlerRef,
>(
  options: TaskOptions<Name, PayloadIn, PayloadOut, ResultIn, ResultOut, Given>,
): Task<Name, PayloadIn, PayloadOut, ResultOut> {
  const read = readOptions(taskOptionsSchema, options, 'defineTask')
  const task = {
    name: read.name as Name,
    payload: read.payload as StandardSchema<unknown, unknown> | undefined,
    result: read.result as StandardSchema<unknown, unknown> | undefined,
    handler: handlerLocation(read.name, read.handler as HandlerRef),
    policy: Object.freeze({
      pool: read.pool ?? 'default',
      timeout: read.timeout,
      queueTimeout: read.queueTimeout ?? Number.POSITIVE_INFINITY,
      killGrace: read.killGrace,
      retry: read.retry && retryPolicy(read.retry),
      onCrash: read.onCrash ?? 'retry',
      maxCrashes: read.maxCrashes ?? 3,
      priority: read.priority ?? 0,
      concurrency: read.concurrency ?? Number.POSITIVE_INFINITY,
      key: read.key as TaskPolicy['key'],
      unique: read.unique as TaskPolicy['unique'],
      when: (read.when as When | undefined) ?? 'ok',
      retention: read.retention && {
        count: read.retention.count ?? Number.POSITIVE_INFINITY,
        age: read.retention.age ?? Number.POSITIVE_INFINITY,
      },
      redact: Object.freeze(read.redact ?? []),
      logs: read.logs === undefined ? undefined : logLimits(read.logs),
    }),
  }
  return marked(task)
}

/** The same task with another policy in part. */
export function withPolicy(task: AnyTask, policy: Partial<TaskPolicy>): AnyTask {
  return marked({ ...task, policy: Object.freeze({ ...task.policy, ...policy }) })
}

function marked<Marked extends object>(task: Marked): Marked {
  Object.defineProperty(task, TASK, { value: true })
  return Object.freeze(task)
}

// The same in every copy of this package that a process may have loaded.
const TASK: unique symbol = Symbol.for('aftertask.task') as never

/** True for what `defineTask` has made. */
export function isTask(value: unknown): value is AnyTask {
  if (typeof value !== 'object' || value === null) return false
  try {
    return Reflect.get(value, TASK) === true
  } catch {
    return false
  }
}

/**
 * The tasks that a runtime is given: an array of them, or a module that exports some.
 *
 * @throws OptionsInvalidError when there is none, or when an array holds something else.
 */
export function readTasks(given: object, call: string): AnyTask[] {
  if (isTask(given)) {
    const remedy = `Write tasks: [${describeTask(given)}].`
    throw refusal(call, 'option "tasks"', given, 'an array of tasks', remedy)
  }
  const isArray = isList(given)
  const list: unknown[] = readSafely(call, 'option "tasks"', () =>
    isArray ? Array.from(given) : Object.values(given),
  )
  if (!isArray) {
    const tasks = list.filter(isTask)
    if (tasks.length > 0) return tasks
    const remedy = 'Export what defineTask returns, and pass the module: import * as tasks.'
    throw refusal(call, 'option "tasks"', given, 'an array of tasks, or a module that exports some', remedy)
  }
  for (const [index, task] of list.entries()) {
    if (isTask(task)) continue
    const remedy = task === undefined ? 'Is it exported, or is there a circular import?' : ''
    throw refusal(call, `tasks[${index}]`, task, 'a task made by defineTask', remedy)
  }
  if (list.length === 0) throw refusal(call, 'option "tasks"', given, 'at least one task made by defineTask')
  return list as AnyTask[]
}

function describeTask({ name }: AnyTask): string {
  return /^[a-z]\w*$/i.test(name) ? name : 'theTask'
}

/**
 * Checks a payload and returns what the handler will receive, or the issues.
 * A schema that turns out to be asynchronous is refused: adding a job is synchronous.
 *
 * @throws OptionsInvalidError when the schema throws, is asynchronous, or returns neither a value nor issues.
 */
export function checkAgainst(
  schema: StandardSchema<unknown, unknown>,
  value: unknown,
  what: string,
): { readonly value: unknown } | { readonly issues: readonly PayloadIssue[] } {
  let result: ReturnType<(typeof schema)['~standard']['validate']>
  try {
    result = schema['~standard'].validate(value)
    if (isThenable(result)) {
      ignoreRejection(result)
      throw new OptionsInvalidError(
        `The ${what} schema is asynchronous, but adding a job is synchronous. Do the asynchronous check in the handler.`,
        what,
      )
    }
    if (result.issues) return { issues: Array.from(result.issues, plainIssue) }
    if ('value' in result) return { value: result.value }
  } catch (cause) {
    if (isA(cause, OptionsInvalidError)) throw cause
    throw new OptionsInvalidError(
      `The ${what} schema threw: ${messageOf(cause)}. A schema reports what it refuses as issues; the value may have a getter that throws.`,
      what,
      { cause },
    )
  }
  throw new OptionsInvalidError(
    `The ${what} schema returned ${describeValue(result)}; expected { value } or { issues }, as Standard Schema says.`,
    what,
  )
}

function plainIssue(issue: StandardIssue): PayloadIssue {
  // A library's own class of list would come out of its `map`.
  const path = Array.from(issue.path ?? [], (step) => {
    const key = typeof step === 'object' ? step.key : step
    return typeof key === 'number' ? key : String(key)
  })
  return { message: String(issue.message), path }
}
