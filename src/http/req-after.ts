/** The types of `req.after` and `req.tryAfter`. */
import type { Job } from '../engine/job.ts'
import type { PayloadAndOptions, ResultOfCall, TaskOf } from '../rules/calls.ts'
import type { RegisteredTask } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'

/**
 * Adds a job that starts once the response is over. By the task object, or by name (typed through `Register`).
 * The payload is checked and copied at once. The default `when` of a job is `ok`: see `JobOptions`.
 *
 * Throws UnknownTaskError, PayloadInvalidError (`status` 400), NotSerializableError, QueueFullError (`status` 503),
 * RuntimeStoppedError (`status` 503) and OptionsInvalidError; nothing is kept of a job that is refused.
 */
export type After<Tasks extends AnyTask = RegisteredTask> = <const Given extends AnyTask | Tasks['name']>(
  task: Given,
  ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
) => Job<ResultOfCall<Tasks, Given>>

/** As `After`, but returns null instead of throwing when the queue is full. Everything else is thrown as there. */
export type TryAfter<Tasks extends AnyTask = RegisteredTask> = <const Given extends AnyTask | Tasks['name']>(
  task: Given,
  ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
) => Job<ResultOfCall<Tasks, Given>> | null

declare module 'http' {
  interface IncomingMessage {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}

declare module 'http2' {
  interface Http2ServerRequest {
    /** Adds a job that starts once this request's response is over. Put there by `afterResponse`. */
    after: After
    /** As `after`, but null when the queue is full. */
    tryAfter: TryAfter
  }
}
