/** What `createRuntime` takes, and the shapes of what a runtime returns. */
import type { Broker, BrokerStats } from '../brokers/port/broker.ts'
import type { ManyEntry, ResultOfCall } from '../rules/calls.ts'
import type { LogsOption } from '../rules/log-lines.ts'
import type { RetryPolicy } from '../rules/retry.ts'
import type { PoolOptions } from '../rules/runtime-schemas.ts'
import type { AnyTask } from '../rules/task.ts'
import type { Job } from './job.ts'
import type { LogOption } from './log.ts'
import type { RedactOption } from './redaction.ts'
import type { Telemetry } from './telemetry.ts'

/** What `createRuntime` takes. */
export interface RuntimeOptions<Tasks extends TaskList = TaskList> {
  /** The tasks: an array, or a module of them (`import * as tasks from './tasks.ts'`). */
  tasks: Tasks
  /** Where jobs wait. Default: memory. */
  broker?: Broker
  /** The default pool of threads. */
  pool?: PoolOptions
  /** Further pools by name, as bulkheads; a task chooses one with `pool`. A pool `io` is there without. */
  pools?: Record<string, PoolOptions>
  /** Accepted, unfinished jobs at most; beyond it adding throws QueueFullError. Default 100,000. */
  maxPending?: number
  /**
   * Bytes of payload of accepted, unfinished jobs that this process holds in memory at most; beyond it adding throws
   * QueueFullError. Default 1,073,741,824 (1 GiB). Infinity for no bound.
   */
  maxPendingBytes?: number
  /** Bytes of one payload, encoded; a larger one is refused with PayloadTooLargeError. Default 33,554,432 (32 MiB). */
  maxPayloadBytes?: number
  /** Bytes of one result, encoded; a job that returns more is dead, with ResultTooLargeError. Default 33,554,432 (32 MiB). */
  maxResultBytes?: number
  /** Bytes of a value for `ctx.progress()`, which throws ProgressTooLargeError for a larger one. Default 1,048,576 (1 MiB). */
  maxProgressBytes?: number
  /** Bytes of the message of a line of `ctx.log`, which is cut, and of its data, which are left out. Default 65,536. */
  maxLogBytes?: number
  /** Milliseconds an attempt may run, for tasks that name no `timeout`. Default: no limit. */
  timeout?: number
  /** Retries for tasks that name none. Default: none. */
  retry?: { maxAttempts?: number; backoff?: Partial<RetryPolicy['backoff']> }
  /** Milliseconds between the soft abort of an attempt and the end of its thread. Default 1,000. */
  killGrace?: number
  /** Milliseconds that jobs wait for their handler to end after the client has left. Default 5,000. */
  handlerGrace?: number
  /** Milliseconds of waiting that raise a job by one step of priority. 0: no ageing. Default 1,000. */
  priorityAgeing?: number
  /** How many finished jobs can still be looked up (default 1,000), and for how many milliseconds (default one hour). */
  retention?: { count?: number; age?: number }
  /** How many short jobs travel to a thread together: at most `max` (1,024), within `milliseconds` (2) of expected work. */
  bundles?: { max?: number; milliseconds?: number }
  /**
   * Where lines go: what handlers give to `ctx.log`, dead and lost jobs, threads that keep dying. `true` (the default)
   * writes what nobody listens for to stderr, without `debug`; `false` nothing. A function gets each line as a `LogLine`,
   * a logger such as pino's or `console` gets fields and message, also where somebody listens. What either throws is contained.
   */
  log?: LogOption
  /**
   * How much of what handlers say (`ctx.log` and what they print) is kept with each job, for `runtime.job(id, { logs: true })`: its
   * last `lines` (1,000), and so many `bytes` of them (65,536); `false` for none. A task's own `logs` goes before.
   */
  logs?: LogsOption
  /**
   * Which keys are secret at any depth wherever values of jobs are shown: in lines, channels, traces and lists. `{ names: ['iban'] }`
   * adds to the default ones (`password`, `token`, `authorization`, `cookie` and more); `{ defaults: false }` leaves those
   * out; `false` hides nothing but the paths of tasks. Handlers, results and listeners of this process get values as they are.
   */
  redact?: RedactOption
  /**
   * Opens a unix socket through which `npx aftertask` reaches this process, with any broker: at this path, or (`true`) in a
   * folder that the command looks into. Only the user of this process may connect. Default false.
   */
  control?: boolean | string
  /** In development: replaces the threads when the file of a handler, or one that it imports, has changed. Default false. */
  reload?: boolean
  /** Makes traces of jobs and attempts: `openTelemetry()` of `aftertask/opentelemetry`. Default: none, which costs nothing. */
  telemetry?: Telemetry
}

/** Tasks as an array or as the exports of a module. */
export type TaskList = readonly AnyTask[] | Readonly<Record<string, unknown>>

/** The tasks in a list, as a union. */
export type TasksIn<List> = List extends readonly (infer T extends AnyTask)[]
  ? T
  : List extends Readonly<Record<string, unknown>>
    ? Extract<List[keyof List], AnyTask>
    : never

/** The handles that `enqueueMany` returns: one for each entry, in their order. */
export type JobsOf<Tasks extends AnyTask, Entries extends readonly ManyEntry<Tasks>[]> = {
  -readonly [Index in keyof Entries]: Job<ResultOfCall<Tasks, Entries[Index]['task']>>
}

/** This process at one moment: what `stats` returns. */
export interface RuntimeStats {
  /** Accepted, unfinished jobs. */
  readonly pending: number
  readonly maxPending: number
  /** Bytes of their payloads, as far as this process holds them in memory. */
  readonly pendingBytes: number
  readonly maxPendingBytes: number
  /** Jobs that ended in each way since the start. */
  readonly completed: number
  readonly dead: number
  readonly cancelled: number
  readonly skipped: number
  readonly lost: number
  /** Jobs that end in a second, over the last seconds. */
  readonly rate: number
  readonly phase: 'running' | 'stopping' | 'stopped'
  /** How it stands with the broker, where jobs outlive the process; absent with the memory broker. */
  readonly broker?: BrokerStats
  readonly pools: Readonly<
    Record<string, { readonly threads: number; readonly max: number; readonly busy: number }>
  >
}
