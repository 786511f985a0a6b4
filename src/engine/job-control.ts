/** What can be asked about a job, and done to it: for its handle, its batch and the runtime. */
import type { Broker, JobChange, JobFilter } from '../brokers/port/broker.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { Moved, sizeOf } from '../rules/moved.ts'
import type { Clock } from '../words/clock.ts'
import { ClockOffset } from '../words/clock-offset.ts'
import { OptionsInvalidError, TaskCancelledError } from '../words/errors.ts'
import { isTerminal, type JobState, type Settlement } from '../words/job.ts'
import type { JobIds } from './ids.ts'
import { type JobOwner, settlementOf } from './job.ts'
import type { Outcomes } from './outcomes.ts'
import type { Pending } from './pending.ts'
import type { PoolSet } from './pool-set.ts'
import type { Redaction } from './redaction.ts'
import type { Scheduler } from './scheduler.ts'
import type { Watch } from './watch.ts'

/** What the control works with. */
export interface ControlParts {
  readonly broker: Pick<Broker, 'intake' | 'attempts' | 'jobs' | 'changes' | 'durability' | 'cluster'>
  readonly clock: Clock
  readonly ids: JobIds
  readonly pending: Pending
  readonly pools: PoolSet
  readonly scheduler: Scheduler
  readonly outcomes: Pick<Outcomes, 'notStarted'>
  readonly watch: Watch
  readonly redaction: Redaction
  /** False once the runtime stops: no dead job starts over then. */
  readonly isRunning: () => boolean
}

/** Finds jobs, tells about them, changes, cancels and revives them. */
export class JobControl implements JobOwner {
  readonly #parts: ControlParts
  readonly #offset: ClockOffset

  constructor(parts: ControlParts) {
    this.#parts = parts
    this.#offset = new ClockOffset(parts.clock)
  }

  get redaction(): Redaction {
    return this.#parts.redaction
  }

  idOf(job: JobRecord): string {
    return this.#parts.ids.idOf(job)
  }

  /** A job that was sent to a thread but has not started there is still available. */
  stateOf(given: JobRecord): JobState {
    const job = this.current(given)
    if (job.state === 'held' && job.extras?.calledAt !== undefined) return 'waiting'
    if (job.state !== 'running') return job.state
    const lane = this.#parts.pools.laneOf(job)
    return lane !== undefined && lane.startedAt(job) === undefined ? 'available' : 'running'
  }

  wallTime(monotonic: number): number {
    return Math.round(this.#offset.wall(monotonic))
  }

  /** The record of a job by its id. */
  async find(id: string): Promise<JobRecord | undefined> {
    const { broker, ids } = this.#parts
    const seq = ids.seqOf(id)
    const atHand = seq === undefined ? undefined : broker.jobs.get(seq)
    return atHand ?? broker.jobs.find(id)
  }

  async list(filter: JobFilter): Promise<readonly JobRecord[]> {
    return this.#parts.broker.jobs.list(filter)
  }

  async stored(job: JobRecord): Promise<void> {
    await this.#parts.broker.durability?.stored(job)
  }

  pin(job: JobRecord): void {
    this.#parts.broker.durability?.pin(job)
  }

  current(job: JobRecord): JobRecord {
    return this.#parts.broker.durability?.current(job) ?? job
  }

  async settlementOf(stub: JobRecord): Promise<Settlement> {
    const found = await this.find(this.idOf(stub)).catch(() => undefined)
    return settlementOf(found !== undefined && isTerminal(found.state) ? found : stub)
  }

  /** Cancels a job that has not started, or asks its attempt to end. False when the job is over. */
  cancel(given: JobRecord, reason: unknown): boolean {
    const job = this.current(given)
    if (isTerminal(job.state)) return false
    const isElsewhere = (this.#parts.broker.cluster?.cancelRemote(job, reason) ?? false) !== false
    return isElsewhere || this.#cancelHere(job, reason)
  }

  /** The same, once it is so wherever the job is: whoever asks for the job next finds it cancelled, unless it runs. */
  async cancelAndWait(given: JobRecord, reason: unknown): Promise<boolean> {
    const job = this.current(given)
    if (isTerminal(job.state)) return false
    const asked = this.#parts.broker.cluster?.cancelRemote(job, reason) ?? false
    if (asked === false) {
      const isCancelled = this.#cancelHere(job, reason)
      // A process that dies before the end is written would have the job run after all.
      if (isTerminal(job.state) && job.extras?.isUnreported === true) await this.#told(job)
      return isCancelled
    }
    await asked
    return true
  }

  async #told(job: JobRecord): Promise<void> {
    job.more.settle ??= Promise.withResolvers()
    this.pin(job)
    await job.more.settle.promise
  }

  #cancelHere(job: JobRecord, reason: unknown): boolean {
    const { broker, pools, scheduler, watch } = this.#parts
    const lane = job.state === 'running' ? pools.laneOf(job) : undefined
    if (job.state === 'running' && lane?.revoke(job) !== true) {
      lane?.drain()
      // Its outcome was at hand; what that has made of the job decides.
      if (lane !== undefined && !lane.inFlight.has(job)) return this.cancel(job, reason)
      // Without a thread its outcome is about to be told, and has the last word.
      watch.end(lane, job, 'cancel', reason, 'The job was cancelled.')
      return true
    }
    if (lane !== undefined) job.attempts--
    const { task } = job.entry
    broker.attempts.finish(job, { state: 'cancelled', error: new TaskCancelledError(task.name, reason) })
    if (lane !== undefined) scheduler.wake(task.policy.pool)
    return true
  }

  /** Changes a job that has not begun; false when it has. Throws where the broker cannot, and QueueFullError. */
  async change(job: JobRecord, change: JobChange, call: string): Promise<boolean> {
    const { broker, pending } = this.#parts
    if (broker.changes === null) {
      throw new OptionsInvalidError(
        `${call}: this broker cannot change jobs. Cancel the job, and add another.`,
      )
    }
    if (isTerminal(job.state) || !this.#takeBack(job)) return false
    const size = change.payload === undefined ? job.bytes : sizeOf(change.payload.encoded)
    if (size > job.bytes && this.#isCounted(job)) pending.makeRoomFor(size - job.bytes)
    const isChanged = await broker.changes.change(job, change)
    if (isChanged && !isTerminal(job.state) && this.#isCounted(job)) {
      pending.freed(job.bytes - size)
      job.bytes = size
    }
    return isChanged
  }

  /** Of a job that waits elsewhere no bytes are held in memory. */
  #isCounted({ bytes }: JobRecord): boolean {
    return bytes > 0 || this.#parts.broker.durability === null
  }

  /** A job that was sent to a thread and has not started there waits here again. False when it has started. */
  #takeBack(job: JobRecord): boolean {
    if (job.state !== 'running') return true
    const { outcomes, pools, scheduler } = this.#parts
    // A moved payload is with the thread and nowhere else.
    const lane = job.payload instanceof Moved ? undefined : pools.laneOf(job)
    if (lane?.revoke(job) !== true) return false
    outcomes.notStarted(job)
    scheduler.wake(job.entry.task.policy.pool)
    return !isTerminal(job.state)
  }

  /** The job is dead, and can still be found. */
  mayBeRevived(job: JobRecord): boolean {
    // A job whose death is yet to be written is not there yet.
    if (job.state !== 'dead' || job.extras?.isUnreported === true) return false
    return this.#parts.broker.jobs.isKept(job)
  }

  /** Lets a dead job start over; false when it is not dead, is no longer unique, or the runtime stops. Throws QueueFullError. */
  revive(given: JobRecord): boolean {
    const written = this.#startOver(given)
    if (written === false) return false
    written.catch(() => {})
    return true
  }

  /** The same, once the broker has it. */
  async reviveAndWait(given: JobRecord): Promise<boolean> {
    const written = this.#startOver(given)
    if (written === false) return false
    await written
    return true
  }

  #startOver(given: JobRecord): Promise<void> | false {
    const { broker, isRunning, pending } = this.#parts
    // Whoever found the job at the same time may have revived it already, under another record.
    const job = this.current(given)
    // Nor can one be that was forgotten since it was found.
    if (!(this.mayBeRevived(job) && isRunning())) return false
    const uniqueKey = job.extras?.uniqueKey
    const holder = uniqueKey === undefined ? undefined : broker.intake.holderOf(uniqueKey)
    if (holder !== undefined && this.idOf(holder) !== this.idOf(job)) return false
    const bytes = sizeOf(job.payload)
    pending.makeRoom(1)
    pending.makeRoomFor(bytes)
    job.bytes = bytes
    pending.accepted(bytes)
    // Its promise told of the end that is now taken back.
    const { more } = job
    more.settle = undefined
    more.isRevived = true
    const written = broker.jobs.revive(job)
    job.batch?.revived?.()
    return written ?? Promise.resolve()
  }
}
