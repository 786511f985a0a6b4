/** A job as it lies in the store. */
import type { Encoded } from '../../../rules/codec.ts'
import type { JobContext } from '../../../rules/job-record.ts'
import type { JobState } from '../../../words/job.ts'
import type { StoredProgress } from './progress-mark.ts'

/** What the library itself keeps of a job beside its payload. Times are milliseconds since 1970; -1 stands for Infinity. */
export interface StoredData {
  /** When it was accepted, and when it may start. */
  readonly a: number
  readonly d?: number | undefined
  /** After this time it is not started any more. */
  readonly q?: number | undefined
  readonly priority: number
  readonly key?: string | undefined
  /** The lock of its batch, and whether a dead job stops it. */
  readonly line?: string | undefined
  readonly stops?: boolean | undefined
  readonly timeout?: number | undefined
  readonly maxAttempts?: number | undefined
  readonly context?: JobContext | undefined
  /** Its response is not over yet. */
  readonly held?: boolean | undefined
  /** Attempts that it had when it was revived: failures before that do not count. */
  readonly revived?: number | undefined
  /** What the ids of the process start with that revived it: it hears of the end as well. */
  readonly by?: string | undefined
  /** What its attempts had left behind until then. */
  readonly past?: string | undefined
}

/** The data as it is written: what a job has by default, or what BullMQ notes of it as well, is left out. */
export type WrittenData = Omit<StoredData, 'a' | 'priority'> & {
  readonly a?: number | undefined
  readonly priority?: number | undefined
}

/** A job on its way to the store. */
export interface NewJob {
  readonly queue: string
  readonly id: string
  /** Of the task. */
  readonly name: string
  readonly payload: Encoded
  readonly data: WrittenData
  readonly priority: number
  /** When it was accepted, in milliseconds since 1970. */
  readonly acceptedAt: number
  /** Milliseconds to wait, from when it is written. */
  readonly delay: number
  readonly unique: { readonly key: string; readonly forMs: number | undefined } | undefined
  /** The job that stands before it in the lock of its batch, which did not know of a lock when it was written. */
  readonly behind?: { readonly queue: string; readonly id: string } | undefined
}

/** A job as the store has it. */
export interface StoredJob {
  readonly id: string
  readonly queue: string
  /** Of the task. */
  readonly name: string
  readonly state: JobState
  readonly payload: Encoded
  readonly data: StoredData
  /** What its attempts have left behind, and the same as the text in which it lies in the store. */
  readonly left: StoredProgress
  readonly mark: string | undefined
  /** How often it was claimed. */
  readonly starts: number
  /** How often a lease of it has run out. */
  readonly stalls: number
  /** What its handler told last; undefined for nothing. */
  readonly progress: Encoded
  /** Milliseconds since 1970. */
  readonly claimedAt: number | undefined
  readonly endedAt: number | undefined
  /** Of a completed job. */
  readonly result: Encoded
}
