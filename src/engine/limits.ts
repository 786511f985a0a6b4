/** How long an attempt may take, and how much of what it says is kept: what the call says, else the task, else the runtime. */

import type { JobRecord } from '../rules/job-record.ts'
import { type LogsOption, logLimits } from '../rules/log-lines.ts'
import type { AnyTask } from '../rules/task.ts'
import type { LogLimits } from '../words/job.ts'

/** Finds the limits of an attempt. */
export class Limits {
  readonly #timeout: number
  /** Of tasks that name none. */
  readonly killGrace: number

  readonly #logs: LogLimits

  /** The times are in milliseconds; all of it for tasks that say nothing. */
  constructor(given: {
    readonly timeout: number
    readonly killGrace: number
    readonly logs?: LogsOption | undefined
  }) {
    this.#timeout = given.timeout
    this.killGrace = given.killGrace
    this.#logs = logLimits(given.logs)
  }

  /** How much of the lines of a job is kept. */
  logsOf({ entry: { task } }: JobRecord): LogLimits {
    return this.logsOfTask(task)
  }

  /** The same for the jobs of a task. */
  logsOfTask({ policy }: AnyTask): LogLimits {
    return policy.logs ?? this.#logs
  }

  /** Milliseconds that an attempt may run; Infinity for no limit. */
  timeoutOf(job: JobRecord): number {
    return job.extras?.timeout ?? job.entry.task.policy.timeout ?? this.#timeout
  }

  /** Milliseconds between the abort of an attempt and the end of its thread. */
  killGraceOf(job: JobRecord): number {
    return job.entry.task.policy.killGrace ?? this.killGrace
  }
}
