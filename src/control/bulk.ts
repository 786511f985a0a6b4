/** One action for all jobs that fit a query, page by page, or a count of them. */
import { OptionsInvalidError } from '../words/errors.ts'
import type { JobState } from '../words/job.ts'
import type { Controlled } from './controlled.ts'

/** What came of it. */
export interface Bulk {
  /** Jobs that fit, and that the action can be taken on. */
  readonly matched: number
  /** Those that it was taken on. */
  readonly done: number
}

const PAGE = 500

/**
 * Takes an action on every job that fits and is in one of these states; with `dryRun` it only counts. What comes while it is at
 * work is left alone.
 */
export async function forAll(
  runtime: Controlled,
  query: Readonly<Record<string, unknown>>,
  { states, dryRun }: { readonly states: readonly JobState[]; readonly dryRun: boolean },
  act: (id: string) => Promise<boolean>,
): Promise<Bulk> {
  const asked = statesOf(query['state'])
  const state = asked === undefined ? states : states.filter((one) => asked.includes(one))
  if (state.length === 0)
    throw new OptionsInvalidError(
      `This can be done to jobs that are ${states.join(', ')}; the query asks for others.`,
    )
  const pages = {
    ...query,
    state,
    order: 'oldest',
    limit: PAGE,
    budget: Number.POSITIVE_INFINITY,
    until: endOf(query),
  }
  let cursor: string | undefined
  let matched = 0
  let done = 0
  do {
    const page = (await runtime.jobs({ ...pages, ...(cursor !== undefined && { cursor }) } as never)) as Page
    matched += page.jobs.length
    if (!dryRun) for (const { id } of page.jobs) if (await act(id)) done++
    cursor = page.next
  } while (cursor !== undefined)
  return { matched, done }
}

interface Page {
  readonly jobs: readonly { readonly id: string }[]
  readonly next?: string
}

function statesOf(given: unknown): readonly unknown[] | undefined {
  return given === undefined ? undefined : [given].flat()
}

function endOf({ until }: Readonly<Record<string, unknown>>): unknown {
  return until ?? Date.now() + 1
}
