/**
 * Jobs that a process has died under. One that would not survive another death runs with no other suspect beside it in
 * its process, so that it does not pay for what another one does; for the others there is no need to wait.
 */
import type { Lease } from './leases.ts'

/** The suspects that run in this process. */
export class Quarantine {
  readonly #running = new Set<Lease>()

  /** False when the job has to wait: another process may take it. */
  mayStart(lease: Lease): boolean {
    const isAlone = this.#running.size === 0 || this.#running.has(lease)
    if (!isAlone && (isLastChance(lease) || [...this.#running].some(isLastChance))) return false
    this.#running.add(lease)
    return true
  }

  /** The job is not with this process any more. */
  leave(lease: Lease): void {
    this.#running.delete(lease)
  }
}

function isLastChance({ job }: Lease): boolean {
  return job.crashes > 0 && job.crashes >= job.entry.task.policy.maxCrashes - 1
}
