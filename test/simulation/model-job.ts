/** What the model knows of one job and of one batch. */
import type { JobRecord } from '../../src/rules/job-record.ts'
import type { ResponseEnd, Spec } from './plan.ts'
import type { TaskRules } from './tasks.ts'

/** Terminal states, with `lost` apart. */
export type Over = 'completed' | 'cancelled' | 'skipped' | 'dead' | 'lost'

/** One call that asks for a job: its first, or one that found the job instead of adding another. */
export interface ModelCall {
  readonly job: ModelJob
  readonly batch: ModelBatch | undefined
  readonly when: ModelJob['when']
  /** It has a place in the order of its batch. */
  readonly stands: boolean
  controller: AbortController | undefined
  /** Those before it in its batch that it waits for. */
  readonly behind: Set<ModelCall>
  /** Since when its response calls for the job, or since when it has none. */
  calledAt: number | undefined
  isTakenBack: boolean
  /** Those behind it wait for the job also when it is taken back. */
  isFixed: boolean
  /** The job was being cancelled when the call was made. */
  readonly wasDying: boolean
  /** It was taken back while the job had other calls, or was being cancelled already: nobody waits for it again. */
  isPassed: boolean
  /** How often the job had been revived when the call was made. */
  readonly revivals: number
}

/** A batch and its jobs in the order added. */
export interface ModelBatch {
  readonly stops: boolean
  readonly isParallel: boolean
  readonly jobs: ModelJob[]
  /** Every call for a job, also for those that other calls have added. */
  readonly calls: ModelCall[]
  /** It has a place in its order for a job that it shares: it lets its jobs go one by one from then on. */
  isShared: boolean
  /** A job of it was revived: whether the broker keeps its order or it does so itself is not known. */
  hasRevived: boolean
  end: ResponseEnd | undefined
}

/** One accepted job. */
export interface ModelJob {
  readonly id: string
  readonly record: JobRecord
  readonly rules: TaskRules & { readonly name: string }
  readonly key: string | undefined
  readonly uniqueKey: string | undefined
  readonly uniqueUntil: number | undefined
  readonly priority: number
  readonly timeout: number
  readonly queueDeadline: number
  readonly maxAttempts: number
  readonly when: 'ok' | 'error' | 'always'
  readonly delay: number | undefined
  readonly batch: ModelBatch | undefined
  /** Who asks for it, the call that added it first. */
  calls: ModelCall[]
  /** A call has asked for it: it is held no more. */
  isAsked: boolean
  /** It was let go by its own batch, and waits for those before it where the broker keeps it. */
  isNative: boolean
  dueAt: number
  /** When it can run but for its key; undefined while it is held or behind its batch. */
  runnableAt: number | undefined
  /** Its place among those that became runnable. */
  place: number
  isPlaceKnown: boolean
  /** Since when it waits for a thread, as far as its key lets. */
  readyAt: number
  retryAt: number
  over: Over | undefined
  /** Its attempts when it ended. */
  triesAtEnd: number
  ends: Over[]
  promised: string[]
  promisesAsked: number
  /** It is with a thread: sent, running, or its outcome is not told yet. */
  isSent: boolean
  isExecuting: boolean
  executionEndsBy: number
  holdsKey: boolean
  lastEnd: string
  counted: number
  failures: number
  crashes: number
  cancelAsked: boolean
  /** And was told that it would be so. */
  isCancelled: boolean
  hasStarted: boolean
  /** Revived after its response was over: whoever did so wants it to run. */
  isExempt: boolean
  revivals: number
}

/** What is known of a job when it is accepted. */
export interface Accepted {
  readonly rules: ModelJob['rules']
  readonly spec: Spec
  readonly batch: ModelBatch | undefined
  readonly now: number
}

/** What makes a job of this task equal to another; undefined for one that may be added at any time. */
export function uniqueKeyOf(rules: ModelJob['rules'], spec: Spec): string | undefined {
  const own = spec.unique ?? (rules.uniqueFor === undefined ? undefined : 'held')
  return own === undefined ? undefined : `${rules.name}:${own}`
}

/** A call that has just been made for a job. */
export function newCall(
  job: ModelJob,
  batch: ModelBatch | undefined,
  spec: Spec,
  controller?: AbortController,
): ModelCall {
  const isParallel = spec.parallel === undefined ? batch?.isParallel : spec.parallel
  const stands = batch !== undefined && isParallel !== true
  const wasDying = job.calls.length > 0 && job.calls.every((call) => call.isTakenBack)
  const rest = {
    behind: new Set<ModelCall>(),
    calledAt: undefined,
    isTakenBack: false,
    isFixed: false,
    isPassed: false,
    revivals: job.revivals,
    wasDying,
  }
  return { job, batch, when: spec.when ?? 'ok', stands, controller, ...rest }
}

/** A job that has just been accepted. */
export function newJob(id: string, record: JobRecord, { rules, spec, batch, now }: Accepted): ModelJob {
  const uniqueFor = spec.unique === undefined ? rules.uniqueFor : spec.uniqueFor
  return {
    id,
    record,
    rules,
    key: spec.key ?? rules.key,
    uniqueKey: uniqueKeyOf(rules, spec),
    uniqueUntil: uniqueFor === undefined ? undefined : now + uniqueFor,
    priority: spec.priority ?? rules.priority,
    timeout: spec.timeout ?? rules.timeout,
    queueDeadline: now + (spec.queueTimeout ?? rules.queueTimeout),
    maxAttempts: spec.maxAttempts ?? rules.maxAttempts,
    when: spec.when ?? 'ok',
    delay: spec.delay,
    batch,
    calls: [],
    isAsked: false,
    isNative: false,
    dueAt: spec.delay === undefined && spec.runAt !== undefined ? now + Math.max(0, spec.runAt) : 0,
    runnableAt: undefined,
    place: 0,
    isPlaceKnown: true,
    readyAt: now,
    retryAt: 0,
    over: undefined,
    triesAtEnd: 0,
    ends: [],
    promised: [],
    promisesAsked: 0,
    isSent: false,
    isExecuting: false,
    executionEndsBy: Number.POSITIVE_INFINITY,
    holdsKey: false,
    lastEnd: '',
    counted: 0,
    failures: 0,
    crashes: 0,
    cancelAsked: false,
    isCancelled: false,
    hasStarted: false,
    isExempt: false,
    revivals: 0,
  }
}
