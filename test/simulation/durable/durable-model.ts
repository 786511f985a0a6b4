/**
 * What is known of each job over all processes of a run: from what was promised, from what ran, and, where one process
 * has died, from what its file holds.
 */
import type { JobState } from '../../../src/words/job.ts'
import type { Over } from '../model-job.ts'
import type { ResponseEnd, Spec } from '../plan.ts'
import { RESPONSES } from '../responses.ts'
import type { TaskRules } from '../tasks.ts'

/** A batch and its jobs in the order added. */
export interface DurableBatch {
  readonly stops: boolean
  readonly isParallel: boolean
  readonly jobs: DurableJob[]
  /** Jobs that were there already, which its calls found. */
  readonly found: DurableJob[]
  /** How its response ended; `gone` when its process did before. */
  end: ResponseEnd | 'gone' | undefined
}

/** One accepted job. Times are wall-clock times, to the fraction. */
export interface DurableJob {
  readonly id: string
  readonly spec: Spec
  readonly rules: TaskRules & { readonly name: string }
  /** Its place in the order of acceptance. */
  readonly place: number
  /** The process that accepted it, and the call: a call adds all of its jobs or none. */
  readonly life: number
  readonly call: number
  readonly key: string | undefined
  readonly uniqueKey: string | undefined
  readonly uniqueUntil: number | undefined
  readonly maxAttempts: number
  readonly when: 'ok' | 'error' | 'always'
  readonly batch: DurableBatch | undefined
  readonly isSequential: boolean
  /** Other calls that ask for it, which found it instead of adding one. */
  readonly joined: Pick<DurableJob, 'batch' | 'when'>[]
  readonly queueDeadline: number
  dueAt: number
  retryAt: number
  /** Its `stored` has resolved, or a later process has found it: from now on it cannot be lost. */
  isStored: boolean
  /** It was over before it was written, and nothing of it is. */
  isUnwritten: boolean
  /** `gone`: it was never stored, and went with its process. */
  over: Over | 'gone' | undefined
  /** It is the engine's word that it is over, which may not be written yet. */
  ending: JobState | undefined
  isSent: boolean
  isExecuting: boolean
  /** It has been with a thread: the key is its own until it is over. */
  hasBeenSent: boolean
  starts: number
  lastEnd: string
  counted: number
  failures: number
  crashes: number
  /** On record as running when its process died: it is charged with that. */
  isCharged: boolean
  isSuspect: boolean
  cancelAsked: boolean
  isCancelled: boolean
  revivals: number
  /** Revived in this process, which may not be written yet. */
  isBack: boolean
  isExempt: boolean
  /** Two equal jobs may be accepted while the journal is not open; one of them is then skipped. */
  mayBeDuplicate: boolean
}

/** What is known of a job when it is accepted. */
export interface AcceptedJob {
  readonly rules: DurableJob['rules']
  readonly spec: Spec
  readonly batch: DurableBatch | undefined
  readonly life: number
  /** Its number in the process that accepted it. */
  readonly seq: number
  readonly call: number
  readonly uniqueKey: string | undefined
  readonly isScheduled: boolean
}

/** Milliseconds for which nobody else adds the same run of a schedule. */
const SAME_RUN = 60_000

/** All that is known. */
export class DurableModel {
  readonly jobs: DurableJob[] = []
  readonly byId = new Map<string, DurableJob>()
  readonly pending = new Set<DurableJob>()
  readonly paused = new Set<string>()
  isPaused = false
  isStopping = false
  /** The disk refuses, or has done so of late: what this process has not stored until then may be refused. */
  refusesUntil = 0
  /** As `refusesUntil`, of a file that has lost its name. */
  awayUntil = 0
  /** A listener is calling back: what happens now may come between things that belong together. */
  isReacting = false
  violation: string | undefined
  /** A process died that may not have told by how much its clock was set: times in the file are off since then. */
  isAdrift = false
  /** By how much somebody had set the clock before this process began: the times in its file are ahead by that. */
  setBefore = 0
  time: () => number = () => 0

  /** Whether a job may be refused for the sake of the disk. */
  get mayRefuse(): boolean {
    return this.time() <= this.refusesUntil
  }

  /** Whether what is stored may be given up: the process stops, and its file is away. */
  get mayLoseStored(): boolean {
    return this.isStopping && this.time() <= this.awayUntil
  }

  /** The first violation is the one that counts. */
  violate(message: string): void {
    this.violation ??= `${message} (at ${(this.time() - 1_700_000_000_000).toFixed(2)} ms)`
  }

  expect(condition: boolean, message: () => string): void {
    if (!condition) this.violate(message())
  }

  accepted(id: string, accepted: AcceptedJob): DurableJob {
    const { rules, spec, batch, life, seq, call, uniqueKey, isScheduled } = accepted
    const now = this.time()
    const own = spec.unique === undefined ? rules.uniqueFor : spec.uniqueFor
    const uniqueFor = isScheduled ? SAME_RUN : own
    const dueAt = spec.delay === undefined && spec.runAt !== undefined ? now + Math.max(0, spec.runAt) : 0
    const isHeld = batch !== undefined && batch.end === undefined
    const job: DurableJob = {
      ...{ id, spec, rules, batch, life, call, uniqueKey, place: life * 1e6 + seq },
      key: spec.key ?? rules.key,
      uniqueUntil: uniqueKey === undefined || uniqueFor === undefined ? undefined : now + uniqueFor,
      maxAttempts: spec.maxAttempts ?? rules.maxAttempts,
      when: spec.when ?? 'ok',
      isSequential: batch !== undefined && !(spec.parallel === undefined ? batch.isParallel : spec.parallel),
      joined: [],
      queueDeadline: now + (spec.queueTimeout ?? rules.queueTimeout),
      dueAt: spec.delay === undefined || isHeld ? dueAt : now + spec.delay,
      ...{ retryAt: 0, isStored: false, isUnwritten: false, over: undefined, ending: undefined, lastEnd: '' },
      ...{ isSent: false, isExecuting: false, hasBeenSent: false, isCharged: false, isSuspect: false },
      ...{ starts: 0, counted: 0, failures: 0, crashes: 0, revivals: 0 },
      ...{ cancelAsked: false, isCancelled: false, isBack: false, isExempt: false, mayBeDuplicate: false },
    }
    this.expect(!this.byId.has(id), () => `${id} was accepted twice`)
    this.jobs.push(job)
    this.byId.set(id, job)
    this.pending.add(job)
    batch?.jobs.push(job)
    return job
  }

  /** Who holds a unique key now; `slack` milliseconds are left out where times were rounded on their way. */
  holderOf(uniqueKey: string): DurableJob | undefined {
    const until = this.time() + 2
    return this.jobs.findLast(
      (job) =>
        job.uniqueKey === uniqueKey &&
        job.over !== 'gone' &&
        job.over !== 'lost' &&
        !job.mayBeDuplicate &&
        (job.uniqueUntil === undefined
          ? job.over === undefined && job.ending === undefined
          : until < job.uniqueUntil && !hasEndedUnrun(job)),
    )
  }

  ended(job: DurableJob, how: Over | 'gone'): void {
    job.over = how
    job.isSent = false
    job.isBack = false
    this.pending.delete(job)
  }

  /** It was told to be over, and is found in the file as it was. */
  comesBack(job: DurableJob): void {
    job.over = undefined
    job.isBack = job.revivals > 0
    this.pending.add(job)
  }

  revived(job: DurableJob): void {
    job.over = undefined
    job.ending = undefined
    job.failures = 0
    job.crashes = 0
    job.isSuspect = false
    job.revivals++
    job.isBack = true
    job.isExempt = job.batch?.end !== undefined
    job.cancelAsked = false
    job.isCancelled = false
    job.retryAt = 0
    // Of the second of two equal jobs nobody asked when its response was over.
    if (job.mayBeDuplicate) job.dueAt = 0
    job.hasBeenSent = false
    this.pending.add(job)
  }

  settles(batch: DurableBatch, end: ResponseEnd | 'gone'): void {
    batch.end = end
    for (const job of batch.jobs) {
      const isOurs = job.joined.length === 0 && job.spec.delay !== undefined
      if (isOurs && job.over === undefined && end !== 'gone') job.dueAt = this.time() + (job.spec.delay ?? 0)
    }
  }

  /** A call has found a job that is there, and has a say of its own. */
  joined(job: DurableJob, batch: DurableBatch | undefined, when: DurableJob['when']): void {
    job.joined.push({ batch, when })
    batch?.found.push(job)
    // Its delay counts from the first call that asks for it.
    if (job.spec.delay !== undefined) job.dueAt = 0
  }

  isHeld(job: DurableJob): boolean {
    // Taken over from a process that is gone, it goes on whatever became of its responses.
    if (job.isExempt) return false
    const calls = [job, ...job.joined]
    const isAsked = calls.some((call) => call.batch?.end !== undefined && isCalledFor(call))
    return !(isAsked || calls.some(({ batch }) => batch === undefined))
  }

  /** Whether one of its responses calls for it, or may still. */
  isCalledFor(job: DurableJob): boolean {
    return [job, ...job.joined].some(isCalledFor)
  }
}

/** It ended without having run: a key that is held for a time is let go of then. */
export function hasEndedUnrun({ over, ending, counted, lastEnd }: DurableJob): boolean {
  const how = over ?? ending
  return how !== undefined && how !== 'completed' && (counted === 0 || lastEnd === '')
}

/** Whether the response of a call calls for its job. */
function isCalledFor({ batch, when }: Pick<DurableJob, 'batch' | 'when'>): boolean {
  if (batch?.end === undefined || batch.end === 'gone' || when === 'always') return true
  const { facts } = RESPONSES[batch.end]
  return (when === 'error') === (facts.statusCode >= 500 || facts.error !== undefined)
}
