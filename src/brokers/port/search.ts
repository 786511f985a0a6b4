/** The part of the broker port that looks for jobs, page by page. */
import type { ContentQuery } from '../../rules/job-match.ts'
import type { JobRecord } from '../../rules/job-record.ts'
import type { JobState } from '../../words/job.ts'

/** Which jobs fit: all conditions must hold. Times are milliseconds since 1970. */
export interface JobConditions extends ContentQuery {
  readonly states?: readonly JobState[]
  /** Names of tasks, in which `*` stands for any characters. */
  readonly tasks?: readonly string[]
  readonly pools?: readonly string[]
  readonly key?: string
  /** The id of a job of the same batch. */
  readonly batch?: string
  /** Accepted at this time or later, and before that. */
  readonly since?: number
  readonly until?: number
  /** Over since this time or later, and before that. */
  readonly endedSince?: number
  readonly endedUntil?: number
}

/** What `JobDirectory.search` is asked for. */
export interface JobSearch extends JobConditions {
  readonly order: 'newest' | 'oldest'
  /** Jobs on a page; Infinity for all. */
  readonly limit: number
  /** Where the page before has ended: `Found.next`. Jobs that have come or gone since then move nothing. */
  readonly after?: string
  /**
   * Milliseconds after which a search of contents (what `ContentQuery` has) gives what it has found so far. A broker never
   * keeps the event loop busy for long at a time, whatever the budget.
   */
  readonly budget: number
}

/** One page of what fits. */
export interface Found {
  /** Their payloads and large results may be missing: they are for looking at, and not to be given back to the broker. */
  readonly jobs: readonly JobRecord[]
  /** Where the next page goes on; undefined when nothing is left to look at. */
  readonly next: string | undefined
  /** Jobs that were looked at one by one. */
  readonly searched: number
}
