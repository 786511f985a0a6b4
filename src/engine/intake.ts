/**
 * The intake: where jobs come in. Everything that can be refused is refused before anything is kept, and what is
 * accepted is handed to the broker in one go.
 */
import type { IntakeBroker } from '../brokers/port/broker.ts'
import type { Bound } from '../rules/bounds.ts'
import type { JobContext, JobRecord } from '../rules/job-record.ts'
import type { Registry, TaskEntry } from '../rules/registry.ts'
import type { AnyTask } from '../rules/task.ts'
import type { Clock } from '../words/clock.ts'
import { memberOf } from '../words/describe.ts'
import { RuntimeStoppedError } from '../words/errors.ts'
import { isTerminal, type JobOptions } from '../words/job.ts'
import { type Checked, check, checkEach, expectOwnKeys, toRecord, uniqueKeyOf } from './acceptance.ts'
import type { Announcer } from './announcer.ts'
import type { Batch } from './batch.ts'
import type { Metrics } from './metrics.ts'
import type { Pending } from './pending.ts'
import type { SharedJobs } from './shared-jobs.ts'
import type { Stopping } from './stopping.ts'
import type { Tracing } from './tracing.ts'

/** Who adds a job: a call from outside, a request, or a handler. It decides what a stopping runtime still takes. */
export type Door = 'call' | 'request' | 'handler'

/** What the caller of a door has called, as it is written there. */
const CALLS: Readonly<Record<Door, string>> = {
  call: 'enqueue',
  request: 'req.after',
  handler: 'ctx.enqueue',
}

/** Why a job is cancelled whose place another takes. */
export const REPLACED = 'A newer job has taken its place.'

/** One job that somebody adds. */
export interface IntakeCall {
  readonly door: Door
  readonly task: string | AnyTask
  readonly payload: unknown
  readonly options: JobOptions | undefined
  readonly batch: Batch | null
  /** What the caller called, where that is not the usual function of the door. */
  readonly call?: string
  /** The payload is one that the task's schema has made. */
  readonly isParsed?: boolean
  /** The context that travels with it, where that is not its batch's. */
  readonly context?: JobContext | undefined
}

/** What the intake works with. */
export interface IntakeParts {
  readonly registry: Registry
  readonly broker: IntakeBroker
  readonly clock: Clock
  readonly stopping: Stopping
  readonly announcer: Announcer
  readonly metrics: Metrics
  /** How large payloads may be, by the number of their task. */
  readonly payloads: readonly Bound[]
  readonly pending: Pending
  readonly tracing: Tracing | null
  /** Runs announcements during which no job is sent to a thread. */
  readonly announcing: (announce: () => void) => void
  readonly cancel: (job: JobRecord, reason: unknown) => void
  readonly shared: SharedJobs
}

/** Takes jobs in, one by one or all or none. */
export class Intake {
  readonly #parts: IntakeParts
  #seq = 0

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  /** Accepts one job or throws; nothing is kept of one that is refused. */
  take(call: IntakeCall): JobRecord {
    try {
      return this.#take(call)
    } catch (error) {
      this.#parts.metrics.refused(error)
      throw error
    }
  }

  /** Accepts all entries of a list, or none. */
  takeAll(entries: unknown): JobRecord[] {
    try {
      return this.#takeAll(checkEach(this.#parts.registry, entries))
    } catch (error) {
      this.#parts.metrics.refused(error)
      throw error
    }
  }

  #take(call: IntakeCall): JobRecord {
    this.#open(call.door)
    const name = call.call ?? CALLS[call.door]
    const { broker, clock, pending, registry } = this.#parts
    const checked = check(registry, call.task, call.payload, call.options, name, call.isParsed)
    if (checked.unique?.isWhileWaiting === true) expectOwnKeys(broker, name)
    if (pending.isFull(1)) {
      const first = this.#first(checked)
      const replaces = checked.unique?.replaces === true
      if (first === undefined || (replaces && isHeld(call.batch))) pending.makeRoom(1)
      else if (!replaces) {
        this.#parts.shared.join(first, call.batch, call.options)
        return first
      }
    }
    if (checked.options?.transfer !== undefined) pending.makeRoomFor(bytesToMove(checked))
    const record = toRecord(checked, ++this.#seq, clock, this.#boundOf(checked), broker.storesPayloads)
    if (pending.isFullOf(record.bytes) && !this.#hasTwin(record, checked)) pending.makeRoomFor(record.bytes)
    // Before it is handed over: a broker that writes it down writes this too.
    if (call.context !== undefined) record.more.context = call.context
    const first = this.#store(record, checked, call.batch)
    if (first === record) this.#announce(record, checked, call.batch)
    return first
  }

  #takeAll(calls: readonly Checked[]): JobRecord[] {
    this.#open('call')
    const { pending } = this.#parts
    if (calls.some(({ unique }) => unique?.isWhileWaiting === true)) {
      expectOwnKeys(this.#parts.broker, 'enqueueMany')
    }
    if (pending.isFull(calls.length)) pending.makeRoom(this.#countNew(calls))
    const records = this.#toRecords(calls)
    const stored = records.map((record, index) => this.#store(record, calls[index] as Checked, null))
    // Told once all are in: what a listener adds must not take the room, nor the number, of one that follows.
    this.#parts.announcing(() => {
      for (const [index, record] of records.entries()) {
        if (stored[index] === record) this.#announce(record, calls[index] as Checked, null)
      }
    })
    return stored
  }

  /** Buffers are moved last, so that a payload which is refused costs nobody his. */
  #toRecords(calls: readonly Checked[]): JobRecord[] {
    const records: JobRecord[] = []
    const { broker, clock, pending } = this.#parts
    const before = this.#seq
    this.#seq += calls.length
    const makeThose = (isMoving: boolean): void => {
      for (const [index, checked] of calls.entries()) {
        if ((checked.options?.transfer !== undefined) !== isMoving) continue
        const seq = before + index + 1
        records[index] = toRecord(checked, seq, clock, this.#boundOf(checked), broker.storesPayloads)
      }
    }
    makeThose(false)
    const bytes = records.reduce((sum, record) => sum + record.bytes, 0)
    pending.makeRoomFor(calls.reduce((sum, checked) => sum + bytesToMove(checked), bytes))
    makeThose(true)
    return records
  }

  #open(door: Door): void {
    const { phase } = this.#parts.stopping
    // While it stops, a request or handler that was let in may still add to its own work.
    if (phase === 'stopped' || (phase === 'stopping' && door === 'call')) throw new RuntimeStoppedError(phase)
    const refusal = this.#parts.broker.refusal()
    if (refusal !== undefined) throw refusal
  }

  /** How large the payloads of a task may be. */
  boundOf({ index }: TaskEntry): Bound {
    return this.#parts.payloads[index] as Bound
  }

  #boundOf({ entry }: Checked): Bound {
    return this.boundOf(entry)
  }

  /** True when the job is none that is added: an equal one is there. */
  #hasTwin({ extras }: JobRecord, { unique }: Checked): boolean {
    const key = unique?.replaces === true ? undefined : extras?.uniqueKey
    return key !== undefined && this.#parts.broker.holderOf(key) !== undefined
  }

  /** The job that a call would find instead of adding one. */
  #first(checked: Checked): JobRecord | undefined {
    const key = uniqueKeyOf(checked, this.#boundOf(checked))
    return key === undefined ? undefined : this.#parts.broker.holderOf(key)
  }

  /** How many of these would be added: those that equal a job which is there, or one before them, need no room. */
  #countNew(calls: readonly Checked[]): number {
    const seen = new Set<string>()
    return calls.filter((checked) => {
      const key = uniqueKeyOf(checked, this.#boundOf(checked))
      if (key === undefined) return true
      const isNew = !seen.has(key) && this.#parts.broker.holderOf(key) === undefined
      seen.add(key)
      return isNew
    }).length
  }

  /** Hands a job to the broker. Returns it, or the one that holds its unique key. */
  #store(record: JobRecord, checked: Checked, batch: Batch | null): JobRecord {
    const { broker, clock, pending, shared, tracing } = this.#parts
    const { entry, options } = checked
    const first = this.#duplicate(record, checked, batch)
    if (first !== undefined) {
      shared.join(first, batch, options)
      return first
    }
    pending.accepted(record.bytes)
    const after = batch === null ? null : batch.admit(record, options?.order)
    const { extras } = record
    if (extras?.delay !== undefined && !isHeld(batch)) extras.dueAt = clock.now() + extras.delay
    const queueTimeout = options?.queueTimeout ?? entry.task.policy.queueTimeout
    if (queueTimeout !== Number.POSITIVE_INFINITY) record.more.queueTimeout = queueTimeout
    if (tracing !== null) tracing.added(record)
    broker.add(record, after)
    return record
  }

  /** The job that a duplicate finds in its place; undefined for one that is to be added. */
  #duplicate(record: JobRecord, { unique }: Checked, batch: Batch | null): JobRecord | undefined {
    const { broker, cancel } = this.#parts
    const { uniqueKey } = record.extras ?? {}
    if (uniqueKey === undefined) return undefined
    if (unique?.replaces !== true) return broker.holderOf(uniqueKey)
    if (isHeld(batch)) {
      // Not before its response is over: one that fails must not cost the work of another that was answered.
      record.more.takesKey = uniqueKey
      record.more.uniqueKey = undefined
    } else {
      const first = broker.holderOf(uniqueKey)
      if (first !== undefined) cancel(first, REPLACED)
    }
    return undefined
  }

  #announce(record: JobRecord, { options }: Checked, batch: Batch | null): void {
    const { announcer, metrics, shared } = this.#parts
    metrics.added(record)
    // Only a refusal has given it a reason so far.
    const isCalled = record.extras?.reason === undefined
    const signal = options?.signal
    const isAborted = memberOf(signal, 'aborted') === true
    // Before anybody hears of the job: a listener may add a duplicate, which must not share the fate of this call.
    if (signal !== undefined && !isAborted) shared.follow(record, signal)
    announcer.enqueued(record)
    if (isAborted && !isTerminal(record.state)) shared.abort(record, memberOf(signal, 'reason'))
    batch?.announced(record, isCalled)
  }
}

/** Bytes of the buffers that a call has moved. What they really are is refused where it is moved. */
function bytesToMove({ options }: Checked): number {
  const { transfer } = options ?? {}
  if (!Array.isArray(transfer)) return 0
  return transfer.reduce((sum: number, buffer) => sum + (Number(memberOf(buffer, 'byteLength')) || 0), 0)
}

/** The response of the jobs of this batch is not over. */
function isHeld(batch: Batch | null): boolean {
  return batch !== null && batch.facts === null
}
