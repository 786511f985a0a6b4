/** How the SQLite broker asks its journal for jobs, and for how many there are: the part of their protocol that looks. */
import type { ContentQuery } from './job-match.ts'

/** Which jobs are looked for, and how far. Null: whatever it is. Times are wall-clock milliseconds. */
export interface JournalSearch {
  readonly states: readonly number[] | null
  readonly tasks: readonly string[] | null
  readonly pools: readonly string[] | null
  readonly key: string | null
  /** The number of a job in the file, or its id. */
  readonly batch: number | string | null
  readonly since: number | null
  readonly until: number | null
  readonly endedSince: number | null
  readonly endedUntil: number | null
  readonly contents: ContentQuery
  readonly order: 'newest' | 'oldest'
  readonly limit: number
  /** The number in the file behind which to begin. */
  readonly after: number | null
  /** Milliseconds after which to answer. */
  readonly slice: number
}

/** What was found. */
export interface JournalFound<Row = unknown> {
  /** Without payloads, and without large results. */
  readonly rows: readonly Row[]
  /** The number of each in the file. */
  readonly places: readonly number[]
  /** The number behind which to go on; null when all was looked at. */
  readonly next: number | null
  readonly searched: number
}

/** Jobs of one task in one state on record, and, of those that wait on disk, when the one that goes next could first run. */
export type TallyRow = readonly [
  task: string,
  pool: string | null,
  state: number,
  count: number,
  ready: number | null,
]
