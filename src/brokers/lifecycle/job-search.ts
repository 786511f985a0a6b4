/** Searches for jobs by looking at each record: what a broker does that has its jobs in memory. */
import { type Content, contentMatcher, nameMatcher, wordsOf } from '../../rules/job-match.ts'
import type { JobRecord } from '../../rules/job-record.ts'
import { isStranger } from '../../rules/stranger.ts'
import { ClockOffset } from '../../words/clock-offset.ts'
import { OptionsInvalidError } from '../../words/errors.ts'
import { isTerminal } from '../../words/job.ts'
import type { BrokerHost } from '../port/host.ts'
import type { Found, JobConditions, JobSearch } from '../port/search.ts'
import { Slices } from './slices.ts'

type SearchHost = Pick<BrokerHost, 'clock' | 'idPrefix'>

/** Records in the order of a search. */
export interface Searched {
  /** Those behind a place, or all. Throws `badCursor` for a place that is none. */
  after(place: string | undefined): Iterable<JobRecord>
  placeOf(job: JobRecord): string
  byId(id: string): JobRecord | undefined
}

/**
 * One page of the jobs that fit, among these records, which come in any order: for a broker that has few of them. Their numbers
 * order them.
 *
 * @throws OptionsInvalidError (as a rejection) for a cursor that is none.
 */
export function searchAmong(jobs: Iterable<JobRecord>, search: JobSearch, host: SearchHost): Promise<Found> {
  const sign = search.order === 'newest' ? -1 : 1
  const ordered = [...jobs].sort((one, other) => sign * (one.seq - other.seq))
  return searchInOrder(
    {
      after(place) {
        const from = numberIn(place)
        return from === undefined ? ordered : ordered.filter(({ seq }) => sign * (seq - from) > 0)
      },
      placeOf: ({ seq }) => String(seq),
      byId: (id) => ordered.find((job) => idOf(job, host) === id),
    },
    search,
    host,
  )
}

/** The same among records that are in order, a slice of them at a time. */
export async function searchInOrder(among: Searched, search: JobSearch, host: SearchHost): Promise<Found> {
  const { clock } = host
  const { limit, budget } = search
  const fits = fittingConditions(search, host, among)
  const most = asksForContents(search) ? clock.now() + budget : Number.POSITIVE_INFINITY
  const jobs: JobRecord[] = []
  let searched = 0
  let last: JobRecord | undefined
  const slices = new Slices(clock)
  for (const job of among.after(search.after)) {
    if (jobs.length >= limit) return { jobs, searched, next: last && among.placeOf(last) }
    searched++
    last = job
    if (fits(job)) jobs.push(job)
    if (!slices.looked()) continue
    const now = clock.now()
    if (now >= most) return { jobs, searched, next: among.placeOf(job) }
    await slices.rest(now)
  }
  return { jobs, searched, next: undefined }
}

function idOf({ extras, seq }: JobRecord, { idPrefix }: SearchHost): string {
  return extras?.id ?? idPrefix + seq.toString(36)
}

/** Whether what a job says is asked for, and not only what brokers may have an index of. */
export function asksForContents({ requestId, error, payload, text }: JobConditions): boolean {
  return requestId !== undefined || error !== undefined || payload !== undefined || text !== undefined
}

/** The number of a job that a cursor says. */
export function numberIn(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined
  const place = /^-?\d{1,16}$/.test(cursor) ? Number(cursor) : Number.NaN
  if (!Number.isSafeInteger(place)) throw badCursor()
  return place
}

/** What is thrown for a cursor that the broker has not made. */
export function badCursor(): OptionsInvalidError {
  return new OptionsInvalidError(
    'jobs: option "cursor" is none of this broker; expected `next` of the page before, with the same query.',
    'cursor',
  )
}

/** Tells whether a record fits. */
function fittingConditions(
  search: JobConditions,
  host: SearchHost,
  { byId }: Pick<Searched, 'byId'>,
): (job: JobRecord) => boolean {
  const offset = new ClockOffset(host.clock)
  const wall = (time: number): number => Math.round(offset.wall(time))
  const tests: ((job: JobRecord) => boolean)[] = []
  const { states, tasks, pools, key, batch, since, until, endedSince, endedUntil } = search
  if (states !== undefined) tests.push((job) => states.includes(job.state))
  if (tasks !== undefined) {
    const fits = nameMatcher(tasks)
    tests.push(({ entry }) => fits(entry.task.name))
  }
  if (pools !== undefined) {
    tests.push(({ entry }) => !isStranger(entry) && pools.includes(entry.task.policy.pool))
  }
  if (key !== undefined) tests.push(({ extras }) => extras?.key === key)
  if (batch !== undefined) {
    const one = byId(batch)
    const of = one?.batch ?? undefined
    tests.push((job) => job === one || (of !== undefined && job.batch === of))
  }
  if (since !== undefined) tests.push((job) => wall(job.acceptedAt) >= since)
  if (until !== undefined) tests.push((job) => wall(job.acceptedAt) < until)
  if (endedSince !== undefined) tests.push((job) => isTerminal(job.state) && wall(job.readyAt) >= endedSince)
  if (endedUntil !== undefined) tests.push((job) => isTerminal(job.state) && wall(job.readyAt) < endedUntil)
  const contents = contentMatcher(search)
  if (contents !== undefined) tests.push((job) => contents(contentOf(job, host)))
  return (job) => tests.every((fits) => fits(job))
}

function contentOf(job: JobRecord, host: SearchHost): Content {
  const { extras, payload, entry } = job
  const last = extras?.errors?.at(-1)
  return {
    id: idOf(job, host),
    task: entry.task.name,
    key: extras?.key,
    requestId: extras?.context?.requestId,
    reason: extras?.reason,
    error: () => (last === undefined ? undefined : wordsOf(last)),
    payload,
  }
}
