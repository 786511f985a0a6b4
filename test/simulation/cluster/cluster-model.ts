/**
 * What is known of each job over all processes: from what was promised, from what ran, and from what the store, which is a
 * model itself, has made of it.
 */
import type { JobRecord } from '../../../src/rules/job-record.ts'
import type { ResponseEnd, Spec } from '../plan.ts'
import { RESPONSES } from '../responses.ts'
import type { HandlerEnd } from '../sim-thread.ts'
import type { TaskRules } from '../tasks.ts'

/** A batch and its jobs in the order added. */
export interface ClusterBatch {
  readonly process: number
  readonly stops: boolean
  readonly isParallel: boolean
  readonly jobs: ClusterJob[]
  /** How its response ended; `gone` when its process did before. */
  end: ResponseEnd | 'gone' | undefined
  /** Its process stops: what is still held as it closes runs elsewhere. */
  mayGo: boolean
}

/** A handler at work. */
export interface Run {
  readonly process: number
  readonly attempt: number
  /** How it ended; undefined while it runs. */
  how: HandlerEnd | undefined
  endedAt: number | undefined
  /** The store had given the job to another by then: what this run does, does not count. */
  isFenced: boolean
}

/** One accepted job. Times are true times. */
export interface ClusterJob {
  readonly id: string
  readonly record: JobRecord
  readonly spec: Spec
  readonly rules: TaskRules & { readonly name: string }
  readonly process: number
  /** Its place in the order of acceptance of its process. */
  readonly place: number
  /** The call that added it; undefined when that was a handler or a schedule. */
  readonly call: number | undefined
  readonly key: string | undefined
  readonly uniqueKey: string | undefined
  readonly batch: ClusterBatch | undefined
  readonly isSequential: boolean
  readonly when: 'ok' | 'error' | 'always'
  readonly joined: { readonly batch: ClusterBatch | undefined; readonly when: ClusterJob['when'] }[]
  readonly runs: Run[]
  /** Processes whose lease of it had run out when another asked for such jobs. */
  readonly takenFrom: Set<number>
  takenTimes: number
  /** How it ended, once for each time that it was revived; by the store, or by its process when the store never had it. */
  readonly ends: string[]
  /** What was told of its ends, by process. */
  readonly told: Map<number, string[]>
  dueAt: number
  retryAt: number
  /** The store has it. */
  isThere: boolean
  /** Its `stored` has resolved: from now on it cannot be lost. */
  isStored: boolean
  isOver: boolean
  /** The store has an equal one instead. */
  isDuplicate: boolean
  /** Its process died before the store heard what its response says: the store lets it run after a while. */
  isOrphan: boolean
  cancelAsked: boolean
  revivals: number
  /** Calls that asked for it to be revived: of two at once, one is too late, and tells of the end that it finds. */
  revivesAsked: number
}

/** All that is known. */
export class ClusterModel {
  readonly jobs: ClusterJob[] = []
  readonly byId = new Map<string, ClusterJob>()
  /** Who has a key: from the first start until the end. */
  readonly keys = new Map<string, ClusterJob>()
  violation: string | undefined
  /** Somebody has set a schedule. */
  hasSchedules = false
  time: () => number = () => 0

  /** The first violation is the one that counts. */
  violate(message: string): void {
    this.violation ??= `${message} (at ${this.time().toFixed(2)} ms)`
  }

  expect(condition: boolean, message: () => string): void {
    if (!condition) this.violate(message())
  }

  accepted(job: ClusterJob): void {
    this.expect(!this.byId.has(job.id), () => `${job.id} was accepted twice`)
    this.jobs.push(job)
    this.byId.set(job.id, job)
    job.batch?.jobs.push(job)
  }

  ended(job: ClusterJob, how: string): void {
    job.ends.push(how)
    job.isOver = true
    if (job.key !== undefined && this.keys.get(job.key) === job) this.keys.delete(job.key)
  }

  revived(job: ClusterJob): void {
    this.expect(job.ends.at(-1) === 'dead', () => `${job.id}, which is ${job.ends.at(-1)}, was revived`)
    job.isOver = false
    job.revivals++
    job.retryAt = 0
    job.dueAt = 0
  }

  /** Whether some job of a batch is so: one of its own, or one that a call of it joined. */
  inBatch(batch: ClusterBatch, isSo: (job: ClusterJob) => boolean): boolean {
    return batch.jobs.some(isSo) || this.jobs.some((job) => isJoinedBy(job, batch) && isSo(job))
  }

  /** Whether its responses let it run: one that is over calls for it, or its process is gone. */
  isHeld(job: ClusterJob): boolean {
    if (job.revivals > 0 || job.isOrphan) return false
    return [job, ...job.joined].every(({ batch, when }) => {
      if (batch === undefined || batch.mayGo) return false
      return batch.end === undefined || !isCalledFor(batch.end, when)
    })
  }

  /** Whether one of its responses calls for it, or may still. */
  isCalledFor(job: ClusterJob): boolean {
    return [job, ...job.joined].some(
      ({ batch, when }) => batch?.end === undefined || isCalledFor(batch.end, when),
    )
  }
}

function isJoinedBy({ joined }: ClusterJob, batch: ClusterBatch): boolean {
  return joined.some((call) => call.batch === batch)
}

/** Whether a response that has ended so calls for a job. */
function isCalledFor(end: ResponseEnd | 'gone', when: ClusterJob['when']): boolean {
  if (end === 'gone' || when === 'always') return true
  const { facts } = RESPONSES[end]
  return (when === 'error') === (facts.statusCode >= 500 || facts.error !== undefined)
}
