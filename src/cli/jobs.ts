/** `aftertask jobs`: the jobs that fit a query, page by page. */
import type { JobInfo } from '../words/job.ts'
import { askFlags, asking, askUsage, EXIT, type Page } from './command.ts'
import { whole } from './flags.ts'
import { type Piece, styled } from './output.ts'
import { since, stateOf, tableLines } from './table.ts'
import { queryOf, whereFlags, whereUsage } from './where.ts'

const usage = `aftertask jobs [--where QUERY]
${whereUsage}
  [--oldest]           the oldest first; default: the newest
  [--limit 50]         jobs on the page
  [--cursor C]         the page after the one that named this cursor
${askUsage}`

const flags = {
  ...askFlags,
  ...whereFlags,
  oldest: { type: 'boolean' },
  limit: { type: 'string', default: '50' },
  cursor: { type: 'string' },
} as const

/** `aftertask jobs`. */
export const jobs = asking(usage, flags, 'look', async ({ values, reach, out }) => {
  const query = {
    ...queryOf(values, Date.now()),
    limit: whole('limit', values.limit, 1, usage),
    ...(values.oldest && { order: 'oldest' }),
    ...(values.cursor !== undefined && { cursor: values.cursor }),
  }
  const page = await reach.ask<Page>('jobs', { query })
  if (values.json) {
    for (const job of page.jobs) out.json(job)
    if (page.next !== undefined) out.json({ next: page.next })
    return EXIT.done
  }
  for (const line of jobLines(page.jobs, Date.now())) out.line(line, true)
  if (page.jobs.length === 0) out.line('No job fits.')
  if (page.next !== undefined) out.line([styled('dim', `More: --cursor ${page.next}`)])
  return EXIT.done
})

/** Jobs as a table. */
export function jobLines(all: readonly JobInfo[], now: number): Piece[][] {
  const rows = all.map((job) => [
    job.id,
    job.name,
    stateOf(job.state),
    String(job.attempts),
    since(job.settledAt ?? job.enqueuedAt, now),
    job.key ?? '',
    whyOf(job),
  ])
  return tableLines(['id', 'task', 'state', 'tries', 'age', 'key', ''], rows)
}

/** What is worth a word about a job, in one line. */
export function whyOf({ error, reason }: JobInfo): string {
  if (error !== undefined) return `${error.code ?? error.name}: ${error.message}`
  return reason ?? ''
}
