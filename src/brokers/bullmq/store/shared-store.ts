/**
 * The store that many processes share, in the words of this library. Only this folder knows that it is BullMQ's queues, in
 * Redis or PostgreSQL, and what BullMQ does not have: locks in which jobs wait in order, and messages between processes.
 */
import type { Encoded } from '../../../rules/codec.ts'
import type { Clock } from '../../../words/clock.ts'
import type { JobState, TerminalState } from '../../../words/job.ts'
import type { Ending } from '../../port/attempt.ts'
import type { JobFilter } from '../../port/broker.ts'
import type { StoredSchedule } from '../../port/schedules.ts'
import type { StoreFault } from './faults.ts'
import type { HealthStore } from './health-check.ts'
import type { TimeStore } from './store-clock.ts'
import type { NewJob, StoredData, StoredJob } from './stored-job.ts'

/** What a store tells. */
export interface StoreEvents {
  up(): void
  down(fault: StoreFault): void
  /** A message on one of the topics. */
  message(topic: string, text: string): void
}

/** What a store is opened with. */
export interface Opening {
  /** Its wall is the store's. */
  readonly clock: Clock
  /** False while the clock of the store may be wrong: then nothing counts as old. Absent where it never is. */
  readonly isSettled?: () => boolean
  readonly events: StoreEvents
  /** Messages on these topics are listened to. */
  readonly topics: readonly string[]
  /** The queues of this runtime's tasks. Jobs of other tasks may lie in others. */
  readonly queues: readonly string[]
  readonly retention: { readonly count: number; readonly age: number }
  /** Milliseconds after which a job that waits in a lock is looked at again by itself. */
  readonly recheck: number
}

/** A job that belongs to a process for the time of a lease. */
export interface LeaseRef {
  readonly id: string
  readonly token: string
  /** How often it had been claimed by then, this time included. */
  readonly starts: number
  /** How often its lease had run out by then. */
  readonly stalls: number
}

/** A job that was claimed under a token. */
export interface Claimed {
  readonly token: string
  readonly job: StoredJob
}

/** What attempts leave behind, as it is written. */
export interface LeftBehind {
  /** The message of the last error. */
  readonly reason: string
  /** The text that `toStacktrace` makes. */
  readonly stacktrace: string
}

/** How a job ends. */
export interface StoredEnding {
  readonly state: TerminalState
  /** Of a completed job. */
  readonly result?: Encoded
  /** Of any other. */
  readonly left?: LeftBehind
  /** It leaves these locks, and the next job of each comes forward. */
  readonly locks: readonly string[]
  /** No other job may follow in the lock of its batch. */
  readonly stops: boolean
  /** Another job is to be claimed in the same step, under the same token. */
  readonly fetchNext: boolean
}

/** How a claimed job stands in its locks; one that is behind is nobody's until it is called. */
export type Admitted = 'first' | 'behind' | 'stopped'

/** The jobs of one queue, as a process that runs them sees them. Writes reject with a refusal when a lease is lost. */
export interface JobSource {
  /** Claims at most one job for each token; `dueAt`: when the next delayed one is due, in milliseconds since 1970, or 0. */
  claim(tokens: readonly string[]): Promise<{ readonly jobs: readonly Claimed[]; readonly dueAt: number }>
  /** Jobs that lie under these tokens: the answer that brought them may have got lost. */
  claimedUnder(tokens: readonly string[]): Promise<readonly Claimed[]>
  /** Takes a claimed job to its locks. */
  admit(lease: LeaseRef, locks: readonly string[]): Promise<Admitted>
  /** Ends a job, leaves its locks and lets the next jobs come forward, in one step. Resolves to the job that came with it. */
  end(lease: LeaseRef, ending: StoredEnding): Promise<Claimed | undefined>
  /** Gives a job back, to wait for so many milliseconds. */
  postpone(lease: LeaseRef, delay: number, left?: LeftBehind): Promise<void>
  /** Gives a job back to the front of its queue. */
  putBack(lease: LeaseRef): Promise<void>
  /**
   * Gives a job back of a task that this process does not have, and others of the task that wait with it: nobody claims them
   * but by `claimAside`.
   */
  setAside(lease: LeaseRef, task: string): Promise<void>
  /** Claims at most one job for each token, of these tasks, that was set aside. */
  claimAside(tokens: readonly string[], tasks: readonly string[]): Promise<readonly Claimed[]>
  /** Writes down what the attempts of a running job have left behind. */
  note(lease: LeaseRef, stacktrace: string): Promise<void>
  /** Lets leases last for so many milliseconds from now on. Resolves to the ids of jobs that are not ours any more. */
  renew(leases: readonly LeaseRef[], milliseconds: number): Promise<readonly string[]>
  /** What the store has of a job now; undefined when it has nothing. */
  seen(id: string): Promise<Pick<StoredJob, 'starts' | 'endedAt' | 'mark'> | undefined>
  /** Lets jobs whose lease has run out wait again. */
  reclaimExpired(): Promise<void>
  /** Waits for a job; resolves to how many milliseconds later to look. */
  waitForWork(milliseconds: number): Promise<number>
  /** Ends the wait, now and from now on. */
  stopWaiting(): void
  setProgress(id: string, progress: Encoded): void
  /** Adds to the log of a job, of which the last `most` lines are kept. Resolves in any case. */
  log(id: string, line: string, most: number): Promise<void>
}

/** What became of an attempt to end a job that no process runs. */
export interface Finish {
  /** It runs, and goes on. */
  readonly isRunning: boolean
  /** This call has ended it. */
  readonly isDone: boolean
  /** As it lies in the store when it is over. */
  readonly job: StoredJob | undefined
}

/** Where a store keeps the schedules of a prefix. */
export interface ScheduleTable {
  all(): Promise<readonly StoredSchedule[]>
  /** A name of the data: a store that has lost everything gives another one. */
  era(): Promise<string>
  /** Sets one, unless it is there with the same definition. */
  put(schedule: StoredSchedule): Promise<void>
  remove(id: string): Promise<void>
  /** Lets `owner` have one for so many milliseconds, if it is as given and no other has it. */
  take(schedule: StoredSchedule, owner: string, milliseconds: number): Promise<boolean>
  /** Lets go of one that `owner` has. */
  release(id: string, owner: string): Promise<void>
  /** Gives one its next time and lets go of it, if it is as given. */
  made(schedule: StoredSchedule, nextAt: number): Promise<void>
}

/** Jobs in the store, which no process needs to have. */
export interface JobDirectory {
  /** A job by its id, in whichever queue; `queue` when it is known where it is. */
  find(id: string, queue?: string): Promise<StoredJob | undefined>
  /** True when a job is over, or is not there. */
  isOver(queue: string, id: string): Promise<boolean>
  /** Newest first. */
  list(filter: JobFilter): Promise<readonly StoredJob[]>
  counts(): Promise<Record<JobState, number>>
  /** Ends a job that no process runs. It leaves its locks, and the next job of each comes forward. */
  finish(id: string, ended: Ending, queue?: string): Promise<Finish>
  /** Lets a dead job start over. `by`: what the ids of this process start with. */
  revive(id: string, by: string): Promise<void>
  /** The log of a job, oldest first. */
  logs(id: string, queue?: string): Promise<readonly string[]>
  /** Forgets a job that is over; false when it is not. */
  remove(id: string): Promise<boolean>
}

/** What the broker needs of Redis or PostgreSQL. */
export interface SharedStore extends HealthStore, TimeStore {
  /** Whatever is asked of it takes effect in the order in which it was asked. */
  readonly isOrdered: boolean
  /** Both are there once the store has been opened. */
  readonly directory: JobDirectory
  readonly schedules: ScheduleTable
  /** Resolves once the store has been reached and is ready for use; tries for as long as it takes. */
  open(opening: Opening): Promise<void>
  /** Closes all connections; those that do not close in so many milliseconds are broken off. */
  close(most?: number): Promise<void>
  /** Sends a message to every process that listens to the topic; it may get lost, and nobody may rely on it. */
  publish(topic: string, text: string): void

  /**
   * Adds jobs, which join their locks in this order: one that is not first there waits until it is called. An id that is
   * there already is no fault. Resolves to the id of each, or of the job that it is equal to.
   */
  insert(jobs: readonly NewJob[]): Promise<readonly string[]>
  /** Lets a held job wait for so many milliseconds from now on. */
  hold(queue: string, id: string, milliseconds: number): Promise<void>
  /** Lets a held job come forward, with what is known of it now: to its locks, and to its time. */
  release(job: NewJob): Promise<void>
  /** Leaves a lock for a job that did not know of it, and lets the next one come forward. `stop`: no other may follow. */
  leave(lock: string, queue: string, id: string, stop: boolean): Promise<void>
  /** The jobs of a queue, for a process of this name: it has a connection of its own to wait on. */
  source(queue: string, name: string): JobSource
}

/** The locks that a job has to be first in, in this order. `line`: that of its batch, where its data does not tell. */
export function locksOf(data: Pick<StoredData, 'line' | 'key'>, line = data.line): string[] {
  const locks = line === undefined ? [] : [line]
  if (data.key !== undefined) locks.push(`k:${data.key}`)
  return locks
}

/** Whether a lock is that of a batch. */
export function isBatchLock(lock: string): boolean {
  return lock.startsWith('b:')
}
