/**
 * The store that processes share, as a model: plain maps and a clock of its own. What each operation does to the jobs, the
 * leases and the locks is what Redis, Valkey and PostgreSQL do; `test/contract/shared-store-contract.ts` holds all of them
 * to the same. Everything here takes effect at once: `model-client.ts` has the way to it.
 */
import { type RawJob, toReturnValue, toStored } from '../../../src/brokers/bullmq/store/bullmq-jobs.ts'
import { stalledInterval } from '../../../src/brokers/bullmq/store/queue-options.ts'
import {
  type Admitted,
  isBatchLock,
  type StoredEnding,
} from '../../../src/brokers/bullmq/store/shared-store.ts'
import type { Entry } from '../../../src/brokers/bullmq/store/source.ts'
import type { NewJob, StoredJob } from '../../../src/brokers/bullmq/store/stored-job.ts'
import type { StoredSchedule } from '../../../src/brokers/port/schedules.ts'
import type { TerminalState } from '../../../src/words/job.ts'
import { type ModelJob, ModelQueue, type Where } from './model-queue.ts'

/** What a store lets watch: every end of a job, and every lease that ran out. */
export interface StoreWitness {
  /** A job has come to the store. */
  arrived(id: string): void
  /** A job is over; `token`: of whoever had it. */
  ended(id: string, state: string, token: string | undefined): void
  /** A job was not added, since an equal one is there. */
  duplicate(id: string): void
  /** A dead job starts over. */
  revived(id: string): void
  /** A job was taken from whoever had this token, since the lease had run out. `by` looked for it. */
  reclaimed(id: string, token: string, by: string): void
}

/** A write that the store refuses for good, in the codes of BullMQ. */
export class Refusal extends Error {
  readonly code: number

  constructor(code: number, id: string) {
    super(`The store refuses it for job ${id}: ${code}.`)
    this.code = code
  }
}

/** Codes of refusals: no such job; nobody's lease; not in that state; the lease of another. */
export const REFUSED = { unknown: -1, lapsed: -2, state: -3, others: -6 } as const

/** A job as the store tells of it: what lies there, and where. */
export interface Seen {
  readonly id: string
  readonly queue: string
  readonly raw: RawJob
  readonly where: Where
}

/** Who waits for a lock. */
interface Lock {
  readonly members: { readonly member: string; readonly since: number }[]
  isStopped: boolean
}

interface KeptSchedule {
  definition: string
  nextAt: number
  owner: string | undefined
  ownerUntil: number
}

// Of a job that is ended where no process has it.
const TAKEN = 'taken'
// A job joins a lock before it is added to its queue: one that is in no queue after this time never will be.
const NEVER_ADDED_AFTER = 30_000
const NOBODY: StoreWitness = { arrived() {}, ended() {}, duplicate() {}, revived() {}, reclaimed() {} }

/** The store. */
export class ModelStore {
  readonly queues = new Map<string, ModelQueue>()
  readonly locks = new Map<string, Lock>()
  readonly schedules = new Map<string, KeptSchedule>()
  readonly retention: { readonly count: number }
  readonly lease: number
  /** When it was started, on its own clock. */
  startedAt: number
  witness: StoreWitness = NOBODY
  readonly now: () => number

  /** `now`: milliseconds since 1970 by the store's own clock. */
  constructor(now: () => number, options: { lease: number; retention: { count: number } }) {
    this.now = now
    this.lease = options.lease
    this.retention = options.retention
    this.startedAt = now()
  }

  queue(name: string): ModelQueue {
    const queue = this.queues.get(name) ?? new ModelQueue(name)
    this.queues.set(name, queue)
    return queue
  }

  // ── Jobs on their way ──────────────────────────────────────────────────────────────────────────────────────────

  /** Adds a job; resolves to its id, or to that of the job that it is equal to. `dueAt`: 0 for one that need not wait. */
  add(name: string, job: NewJob, dueAt: number): string {
    const queue = this.queue(name)
    if (queue.jobs.has(job.id)) return job.id
    const { unique } = job
    if (unique !== undefined) {
      const holder = queue.holderOf(unique.key, this.now())
      if (holder !== undefined) {
        this.witness.duplicate(job.id)
        return holder
      }
      const until = unique.forMs === undefined ? undefined : this.now() + unique.forMs
      queue.unique.set(unique.key, { id: job.id, until })
    }
    queue.add(job, dueAt)
    this.witness.arrived(job.id)
    return job.id
  }

  update(name: string, id: string, data: string): void {
    const job = this.queue(name).jobs.get(id)
    if (job === undefined) throw new Refusal(REFUSED.unknown, id)
    job.data = data
  }

  delay(name: string, id: string, dueAt: number): void {
    const queue = this.queue(name)
    const job = queue.jobs.get(id)
    if (job === undefined) throw new Refusal(REFUSED.unknown, id)
    if (job.where !== 'delayed') throw new Refusal(REFUSED.state, id)
    queue.delay(job, dueAt)
  }

  /** Does nothing to a job that is not delayed. */
  promote(name: string, id: string): void {
    const queue = this.queue(name)
    const job = queue.jobs.get(id)
    if (job?.where === 'delayed') queue.wait(job)
  }

  // ── Jobs that run ──────────────────────────────────────────────────────────────────────────────────────────────

  claim(name: string, token: string): ModelJob | undefined {
    const queue = this.queue(name)
    queue.promoteDue(this.now())
    const job = queue.next()
    if (job === undefined) return undefined
    this.#activate(queue, job, token)
    return job
  }

  #activate(queue: ModelQueue, job: ModelJob, token: string): void {
    queue.activate(job)
    job.token = token
    job.lockedUntil = this.now() + this.lease
    job.claimedAt = this.now()
    job.starts++
  }

  /** The job that lies under a token. */
  under(name: string, token: string): { token: string; seen: Seen } | undefined {
    for (const job of this.queue(name).active())
      if (job.token === token && job.lockedUntil > this.now()) return { token, seen: this.seen(job) }
    return undefined
  }

  /** The job that is with whoever has this token. Throws a refusal when it is not. */
  owned(name: string, id: string, token: string): ModelJob {
    const job = this.queue(name).jobs.get(id)
    if (job === undefined) throw new Refusal(REFUSED.unknown, id)
    const isLocked = job.token !== '' && job.lockedUntil > this.now()
    if (!isLocked) throw new Refusal(REFUSED.lapsed, id)
    if (job.token !== token) throw new Refusal(REFUSED.others, id)
    if (job.where !== 'active') throw new Refusal(REFUSED.state, id)
    return job
  }

  /** Ends a job, leaves its locks and lets the next of each come forward. */
  end(name: string, id: string, token: string, { state, result, left, locks, stops }: StoredEnding): void {
    const job = this.owned(name, id, token)
    if (state === 'completed') job.result = toReturnValue(result, false)
    if (left !== undefined) job.trace = left.stacktrace
    this.#finish(job, state)
    for (const lock of locks) this.leave(lock, `${name}|${id}`, stops && isBatchLock(lock))
  }

  /** The same of a job that no process has; false when there is no such job. */
  endWaiting(name: string, id: string, ending: StoredEnding): boolean {
    const queue = this.queue(name)
    const job = queue.jobs.get(id)
    if (job === undefined || job.where === 'active' || isFinished(job)) return false
    queue.activate(job)
    job.token = TAKEN
    job.lockedUntil = Number.POSITIVE_INFINITY
    this.end(name, id, TAKEN, ending)
    return true
  }

  postpone(name: string, id: string, token: string, dueAt: number, trace?: string): void {
    const job = this.owned(name, id, token)
    if (trace !== undefined) job.trace = trace
    this.#release(job)
    this.queue(name).delay(job, dueAt)
  }

  putBack(name: string, id: string, token: string): void {
    const job = this.owned(name, id, token)
    this.#release(job)
    this.queue(name).waitInFront(job)
  }

  /** Sets a job aside of a task that whoever has it does not have, and those of the task that wait. */
  setAside(name: string, id: string, token: string): void {
    const job = this.owned(name, id, token)
    const queue = this.queue(name)
    this.#release(job)
    queue.setAside(job)
    for (const other of queue.waiting()) if (other.name === job.name) queue.setAside(other)
  }

  claimAside(
    name: string,
    token: string,
    tasks: readonly string[],
  ): { token: string; seen: Seen } | undefined {
    const queue = this.queue(name)
    const job = queue.nextAside(tasks)
    if (job === undefined) return undefined
    this.#activate(queue, job, token)
    return { token, seen: this.seen(job) }
  }

  note(name: string, id: string, token: string, trace: string): void {
    this.owned(name, id, token).trace = trace
  }

  /** A lease that has run out is taken up again, unless the job was started since or taken for one of a dead process. */
  renew(
    name: string,
    lease: { id: string; token: string; starts: number; stalls: number },
    ms: number,
  ): boolean {
    const job = this.queue(name).jobs.get(lease.id)
    if (job?.where !== 'active' || job.starts !== lease.starts || job.stalls !== lease.stalls) return false
    if (job.token !== lease.token && job.lockedUntil > this.now()) return false
    job.token = lease.token
    job.lockedUntil = this.now() + ms
    job.isSuspect = false
    return true
  }

  /**
   * As in Redis, a job is first marked, and taken back when its lease has run out by the next look; one look in so many
   * milliseconds, whoever looks.
   */
  reclaimExpired(name: string, by: string): void {
    const queue = this.queue(name)
    const now = this.now()
    if (queue.reclaimedAt + stalledInterval(this.lease) > now) return
    queue.reclaimedAt = now
    for (const job of queue.active()) {
      if (!job.isSuspect || job.lockedUntil > now) {
        job.isSuspect = true
        continue
      }
      job.stalls++
      this.witness.reclaimed(job.id, job.token, by)
      this.#release(job)
      queue.waitInFront(job)
    }
  }

  setProgress(name: string, id: string, progress: string): void {
    const job = this.queue(name).jobs.get(id)
    if (job !== undefined) job.progress = progress
  }

  /** Every lease is forgotten, as by a server that comes back without its latest writes. */
  forgetLeases(): void {
    for (const queue of this.queues.values()) for (const job of queue.active()) job.lockedUntil = 0
  }

  #finish(job: ModelJob, state: TerminalState): void {
    const queue = this.queue(job.queue)
    const { token } = job
    this.#release(job)
    job.endedAt = this.now()
    queue.finish(job, state === 'completed' ? 'completed' : 'failed', this.retention.count)
    this.witness.ended(job.id, state, token === TAKEN ? undefined : token)
  }

  #release(job: ModelJob): void {
    job.token = ''
    job.lockedUntil = 0
    job.isSuspect = false
  }

  // ── What is there ──────────────────────────────────────────────────────────────────────────────────────────────

  /** A job, wherever it is. */
  find(id: string, queues: readonly string[]): Seen | undefined {
    for (const name of queues) {
      const job = this.queues.get(name)?.jobs.get(id)
      if (job !== undefined) return this.seen(job)
    }
    return undefined
  }

  seen(job: ModelJob): Seen {
    const { id, queue, where } = job
    return { id, queue, where, raw: rawOf(job) }
  }

  /** Lets a job that failed wait again. */
  retryFailed(name: string, id: string): void {
    const queue = this.queue(name)
    const job = queue.jobs.get(id)
    if (job?.where !== 'failed') throw new Refusal(job === undefined ? REFUSED.unknown : REFUSED.state, id)
    job.trace = undefined
    job.endedAt = undefined
    queue.wait(job)
    this.witness.revived(id)
  }

  /** Forgets a job that no process has; false when there is none. */
  remove(name: string, id: string): boolean {
    const queue = this.queue(name)
    const job = queue.jobs.get(id)
    if (job === undefined || job.where === 'active') return false
    queue.remove(job)
    return true
  }

  /** Every job of these queues. */
  *all(queues: readonly string[]): Iterable<Seen> {
    for (const name of queues)
      for (const job of this.queues.get(name)?.jobs.values() ?? []) yield this.seen(job)
  }

  // ── Locks ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A job joins its locks one after the other, as far as it comes. */
  enter({ queue, id, locks, token }: Entry): Admitted | 'lost' {
    const job = this.queue(queue).jobs.get(id)
    if (token !== undefined && !(job?.token === token && job.lockedUntil > this.now())) return 'lost'
    for (const name of locks) {
      const lock = this.#lock(name)
      if (lock.isStopped) return 'stopped'
      const member = `${queue}|${id}`
      const isOver = job !== undefined && isFinished(job)
      if (!(isOver || lock.members.some((one) => one.member === member)))
        lock.members.push({ member, since: this.now() })
      for (;;) {
        const [head] = lock.members
        if (head === undefined || head.member === member) break
        if (!this.#isGone(head.member, head.since)) return 'behind'
        lock.members.shift()
      }
    }
    return 'first'
  }

  leave(name: string, member: string, stop: boolean): void {
    const lock = this.#lock(name)
    const at = lock.members.findIndex((one) => one.member === member)
    if (at >= 0) lock.members.splice(at, 1)
    lock.isStopped ||= stop
    const next = lock.members[0]
    // One that was first already may wait for its time.
    if (next !== undefined && at === 0) this.promote(...split(next.member))
    if (next === undefined && !lock.isStopped) this.locks.delete(name)
  }

  #lock(name: string): Lock {
    const lock = this.locks.get(name) ?? { members: [], isStopped: false }
    this.locks.set(name, lock)
    return lock
  }

  /** Whether the job of a member is over, or never came. */
  #isGone(member: string, since: number): boolean {
    const [queue, id] = split(member)
    const job = this.queues.get(queue)?.jobs.get(id)
    return job === undefined ? this.now() - since > NEVER_ADDED_AFTER : isFinished(job)
  }

  // ── Schedules ──────────────────────────────────────────────────────────────────────────────────────────────────

  allSchedules(): StoredSchedule[] {
    return [...this.schedules].map(([id, { definition, nextAt }]) => ({ id, definition, nextAt }))
  }

  putSchedule({ id, definition, nextAt }: StoredSchedule): void {
    if (this.schedules.get(id)?.definition === definition) return
    this.schedules.set(id, { definition, nextAt, owner: undefined, ownerUntil: 0 })
  }

  takeSchedule(schedule: StoredSchedule, owner: string, milliseconds: number): boolean {
    const kept = this.#asGiven(schedule)
    if (kept === undefined) return false
    const isFree = kept.owner === undefined || kept.owner === owner || kept.ownerUntil <= this.now()
    if (!isFree) return false
    kept.owner = owner
    kept.ownerUntil = this.now() + milliseconds
    return true
  }

  releaseSchedule(id: string, owner: string): void {
    const kept = this.schedules.get(id)
    if (kept?.owner === owner) kept.owner = undefined
  }

  madeSchedule(schedule: StoredSchedule, nextAt: number): void {
    const kept = this.#asGiven(schedule)
    if (kept === undefined) return
    kept.nextAt = nextAt
    kept.owner = undefined
  }

  #asGiven({ id, definition, nextAt }: StoredSchedule): KeptSchedule | undefined {
    const kept = this.schedules.get(id)
    return kept?.definition === definition && kept.nextAt === nextAt ? kept : undefined
  }
}

/** A job as the product reads it, by a process whose wall clock shows `wall`. */
export function read({ id, queue, raw, where }: Seen, wall: number): StoredJob {
  return toStored(queue, id, raw, where, wall)
}

function rawOf(job: ModelJob): RawJob {
  const { name, data, acceptedAt, starts, stalls, trace, progress, claimedAt, endedAt, result } = job
  return {
    ...{ name, data, timestamp: acceptedAt, attemptsStarted: starts, stalledCounter: stalls },
    ...{ stacktrace: trace, processedOn: claimedAt, finishedOn: endedAt, returnvalue: result },
    progress: progress === undefined ? undefined : (JSON.parse(progress) as unknown),
  }
}

function isFinished({ where }: ModelJob): boolean {
  return where === 'completed' || where === 'failed'
}

function split(member: string): [queue: string, id: string] {
  const at = member.indexOf('|')
  return [member.slice(0, at), member.slice(at + 1)]
}
