/** What a handler is, and what it is given besides its payload. */

import type { JobOptions } from '../words/job.ts'
import type { PayloadAndOptions, TaskOf } from './calls.ts'
import type { RegisteredTask } from './registry.ts'
import type { AnyTask, ParsedPayloadOf, ResultOf } from './task.ts'

/**
 * The type of a task's handler: annotate the function with it and payload, context and result are checked.
 * The task's module is imported for its type alone: `import type { sendWelcome } from '../tasks.ts'`.
 */
export type Handler<T extends AnyTask = AnyTask> = (
  payload: ParsedPayloadOf<T>,
  context: HandlerContext,
) => ResultOf<T> | Promise<ResultOf<T>> | MovedResult<ResultOf<T>> | Promise<MovedResult<ResultOf<T>>>

declare const moved: unique symbol

/** What `context.transfer` returns: a result whose buffers are moved to the event loop's thread instead of copied. */
export interface MovedResult<Result> {
  readonly [moved]: Result
}

/** What a handler may say about a job that it adds. */
export type NestedJobOptions = Pick<
  JobOptions,
  'delay' | 'priority' | 'key' | 'timeout' | 'queueTimeout' | 'maxAttempts'
> & { unique?: boolean | string }

/** What a handler is given besides its payload. Its methods may be taken off it: `async (payload, { log, signal }) => {}`. */
export interface HandlerContext {
  /** The job's id. */
  readonly id: string
  /** The task's name. */
  readonly name: string
  /** Which try this is, counted from 1. */
  readonly attempt: number
  /**
   * Aborts when the attempt is to end: on a timeout, a cancel, or a stop. Give it to `fetch` and the like; a loop that
   * never yields can still read `signal.aborted` or call `signal.throwIfAborted()`, which look at shared memory.
   * A handler that goes on all the same loses its thread after `killGrace`.
   */
  readonly signal: AbortSignal
  /** Tells how far the job is: any value that can travel, a number from 0 to 1 by custom. Told at most every 20 ms; the last value always. */
  progress(value: unknown): void
  /** Lines that travel to `job:log`. The first 1,000 of an attempt are kept. */
  readonly log: HandlerLog
  /** Adds a job, as `runtime.enqueue` does. Resolves to its id once it is accepted; rejects with the same typed errors. */
  enqueue<const Given extends AnyTask | RegisteredTask['name']>(
    task: Given,
    ...rest: PayloadAndOptions<TaskOf<RegisteredTask, NoInfer<Given>>, NestedJobOptions>
  ): Promise<string>
  /** Marks buffers of a result to be moved instead of copied: `return transfer({ image }, [image.buffer])`. */
  transfer<Result>(result: Result, buffers: readonly ArrayBuffer[]): MovedResult<Result>
  /** The id of the request that added the job, when the request had one. */
  readonly requestId: string | undefined
  /** The W3C trace context of the request that added the job. */
  readonly traceparent: string | undefined
  /** What the server chose to send along: see `afterResponse({ baggage })`. */
  readonly baggage: Readonly<Record<string, string>>
}

/** Log lines by level, each with a message and data that can travel. */
export interface HandlerLog {
  debug(message: string, data?: unknown): void
  info(message: string, data?: unknown): void
  warn(message: string, data?: unknown): void
  error(message: string, data?: unknown): void
}
