/** What a test runtime takes and tells, and the check of it. */
import type { RuntimeOptions, TaskList, TasksIn } from '../engine/runtime-options.ts'
import { isA, isRecord, refusal } from '../rules/arguments.ts'
import type { Handler } from '../rules/handler.ts'
import type { AnyTask, ParsedPayloadOf, ResultOf } from '../rules/task.ts'
import type { RuntimeEvents } from '../words/events.ts'
import type { JobState, TerminalState } from '../words/job.ts'
import type { AddedJob } from './added-jobs.ts'

/** How a test runtime runs jobs. */
export type TestMode = 'inline' | 'manual' | 'threads'

/** A handler that stands in for that of a task. */
export type MockOf<T extends AnyTask> = (
  payload: ParsedPayloadOf<T>,
  ctx: Parameters<Handler<T>>[1],
) => ResultOf<T> | Promise<ResultOf<T>>

/** Handlers that stand in for those of tasks, by the tasks' names. */
export type Mocks<Tasks extends AnyTask> = {
  readonly [Name in Tasks['name']]?: MockOf<Extract<Tasks, { readonly name: Name }>>
}

/** What `createTestRuntime` takes: the options of `createRuntime`, and these. */
export interface TestRuntimeOptions<Tasks extends TaskList = TaskList> extends RuntimeOptions<Tasks> {
  /**
   * `inline` (the default): jobs run in the thread of the test, as soon as they are available. `manual`: as `inline`, but nothing
   * runs until `drain()`. `threads`: jobs run on real threads. Payloads and results are validated, copied and refused in
   * the same way in each.
   */
  mode?: TestMode
  /** Handlers that stand in for those of tasks, by the tasks' names. Not with `threads`. */
  handlers?: Mocks<TasksIn<Tasks>>
  /** Where the clock of the runtime begins. Default: now. */
  startAt?: Date
  /** True: `stop()` and `await using` reject when a job has not ended, and name it. Default false. */
  failOnLeft?: boolean
}

/** What `drain` takes. */
export interface DrainOptions {
  /** True: time passes until nothing is scheduled or to be tried again. Default false. */
  scheduled?: boolean
  /** False: jobs that handlers add meanwhile are left for the next time. Not with `scheduled`. Default true. */
  recursive?: boolean
  /** False: a job that ends dead is counted and nothing is thrown. Default true. */
  throws?: boolean
}

/** How many jobs ended in each way during a `drain`. */
export interface Drained {
  readonly completed: number
  readonly dead: number
  readonly cancelled: number
  readonly skipped: number
}

/** What `waitFor` takes. */
export interface WaitForOptions {
  /** What the payload has, in part. */
  payload?: unknown
  /** The state to wait for. Default: any in which the job is over. */
  state?: JobState
  /** Milliseconds of real time after which it rejects. Default 5,000. */
  within?: number
}

/** How one run of a handler went. */
export interface Performed<Result = unknown> {
  readonly state: TerminalState
  /** What the handler returned, as a caller of `result()` gets it. */
  readonly result: Result | undefined
  /** What it threw, or why it was refused. */
  readonly error: Error | undefined
  /** What it gave to `ctx.progress`; one call in 20 ms is told. */
  readonly progress: readonly unknown[]
  /** What it gave to `ctx.log`. */
  readonly logs: readonly Pick<RuntimeEvents['job:log'], 'level' | 'message' | 'data'>[]
  /** The jobs that it added. They have not run. */
  readonly added: readonly AddedJob[]
}

const MODES: readonly unknown[] = ['inline', 'manual', 'threads']

/** Checks what `createTestRuntime` has of its own; the rest is checked as the options of `createRuntime` are. */
export function readGiven(given: TestRuntimeOptions): TestRuntimeOptions {
  if (!isRecord(given)) throw refusal('createTestRuntime', 'the options', given, 'an object with tasks')
  const { mode, handlers, startAt } = given
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw refusal('createTestRuntime', `the option ${name}`, value, expected)
  }
  if (mode !== undefined && !MODES.includes(mode)) refuse('mode', mode, "'inline', 'manual' or 'threads'")
  if (startAt !== undefined && !(isA(startAt, Date) && Number.isFinite(startAt.getTime())))
    refuse('startAt', startAt, 'a date')
  if (handlers === undefined) return given
  if (mode === 'threads') refuse('handlers', handlers, "none with mode: 'threads': a function cannot travel")
  if (!isRecord(handlers)) refuse('handlers', handlers, 'an object of functions, by the names of tasks')
  for (const [name, handler] of Object.entries(handlers as object)) {
    if (typeof handler !== 'function') refuse(`handlers["${name}"]`, handler, 'a function')
  }
  return given
}
