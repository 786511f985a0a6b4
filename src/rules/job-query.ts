/** What is asked of all jobs: one small query language for code, for a page and for a terminal. */
import type { JobInfo, JobState } from '../words/job.ts'
import type { AnyTask } from './task.ts'

/** Which jobs `runtime.jobs` lists: all conditions must hold; without any, every job fits. */
export interface JobQuery {
  /** One of these states. */
  state?: JobState | readonly JobState[]
  /** One of these tasks, each by itself or by its name; in a name `*` stands for any characters, as in `email.*`. */
  task?: string | AnyTask | readonly (string | AnyTask)[]
  /** One of these pools. A job of a task that this process does not have is in no pool, unless the broker knows its pool. */
  pool?: string | readonly string[]
  /** Jobs of this key. */
  key?: string
  /** The id of a job: jobs of the same batch, that job included. */
  batch?: string
  /** The id of the request that added the job. */
  requestId?: string
  /** Accepted at this time or later, as a `Date` or milliseconds since 1970. */
  since?: Date | number
  /** Accepted before this time. */
  until?: Date | number
  /** Ended at this time or later: jobs that are not over do not fit. */
  endedSince?: Date | number
  /** Ended before this time: jobs that are not over do not fit. */
  endedUntil?: Date | number
  /**
   * The code, the name or the message of the last error. With `*`, which stands for any characters, one of them as a whole;
   * without, the code or the name as a whole or a part of the message. Upper and lower case are the same.
   */
  error?: string
  /**
   * Fields of the payload by their path: `{ 'user.id': 7 }`. A value fits that reads the same (`7` and `'7'`), a list fits
   * that has such an element, an object when its fields fit. A completed job has no payload any more, only its `searchable` fields.
   */
  payload?: Readonly<Record<string, unknown>>
  /** A part of the id, task, key, request id, reason, error or payload. Upper and lower case are the same. */
  text?: string
  /** By the time of acceptance: `newest` (default) or `oldest` first. */
  order?: 'newest' | 'oldest'
  /** Jobs on a page. Default 100. */
  limit?: number
  /** Where to go on: `next` of the page before, with the same query. */
  cursor?: string
  /**
   * Milliseconds after which a search of what has no index gives what it has found so far, with `next` to go on from there.
   * Default 80. `Infinity`: it looks until the page is full.
   */
  budget?: number
}

/** Which dead jobs `runtime.failures` groups. */
export interface FailureQuery
  extends Pick<
    JobQuery,
    | 'task'
    | 'pool'
    | 'key'
    | 'requestId'
    | 'since'
    | 'until'
    | 'endedSince'
    | 'endedUntil'
    | 'error'
    | 'payload'
    | 'text'
  > {
  /** The newest so many of those that fit are looked at. Default 5,000. */
  limit?: number
}

/** One page of jobs. */
export interface JobPage {
  readonly jobs: JobInfo[]
  /** The cursor of the following page; absent on the last. A page whose search ran out of time may have few jobs, or none. */
  readonly next?: string
  /** Jobs that were looked at one by one, since nothing has an index of what was asked for. */
  readonly searched: number
}
