/** How long an attempt may take: what the call says, else the task, else the runtime. */
import type { JobRecord } from '../rules/job-record.ts'

/** Finds the limits of an attempt. */
export class Limits {
  readonly #timeout: number
  /** Of tasks that name none. */
  readonly killGrace: number

  /** Both in milliseconds; for tasks that say nothing. */
  constructor({ timeout, killGrace }: { readonly timeout: number; readonly killGrace: number }) {
    this.#timeout = timeout
    this.killGrace = killGrace
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
