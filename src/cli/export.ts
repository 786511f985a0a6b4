/** `aftertask export`: all jobs that fit, as lines of JSON or of CSV. */

import { OptionsInvalidError } from '../words/errors.ts'
import type { JobInfo } from '../words/job.ts'
import { askFlags, asking, askUsage, EXIT, type Page } from './command.ts'
import { whole } from './flags.ts'
import { queryOf, whereFlags, whereUsage } from './where.ts'

const usage = `aftertask export [--where QUERY] [--format ndjson]
${whereUsage}
  [--format ndjson]    ndjson or csv
  [--limit N]          jobs at most; default: all
${askUsage}`

const flags = {
  ...askFlags,
  ...whereFlags,
  format: { type: 'string', default: 'ndjson' },
  limit: { type: 'string' },
} as const

const PAGE = 500
const COLUMNS = [
  ...(['id', 'name', 'state', 'attempts', 'priority', 'key', 'enqueuedAt', 'settledAt', 'reason'] as const),
  ...(['error.name', 'error.code', 'error.message'] as const),
]

/** `aftertask export`. */
export const exportJobs = asking(usage, flags, 'look', async ({ values, reach, out }) => {
  const { format } = values
  if (format !== 'ndjson' && format !== 'csv')
    throw new OptionsInvalidError(`--format ${format}: expected ndjson or csv.\n\n${usage}`, 'format')
  const most = values.limit === undefined ? Number.POSITIVE_INFINITY : whole('limit', values.limit, 1, usage)
  const query = queryOf(values, Date.now())
  if (format === 'csv') out.line(COLUMNS.join(','))
  let cursor: string | undefined
  let count = 0
  do {
    const limit = Math.min(PAGE, most - count)
    const asked = { ...query, order: 'oldest', limit, ...(cursor !== undefined && { cursor }) }
    const page: Page = await reach.ask<Page>('jobs', { query: asked })
    for (const job of page.jobs) {
      if (format === 'csv') out.line(csvLine(job))
      else out.json(job)
    }
    count += page.jobs.length
    cursor = page.next
    await out.flushed()
  } while (cursor !== undefined && count < most)
  return EXIT.done
})

function csvLine(job: JobInfo): string {
  return COLUMNS.map((column) => {
    const [first = '', second] = column.split('.')
    const value: unknown = Reflect.get(job, first)
    const cell: unknown = second === undefined ? value : value && Reflect.get(value as object, second)
    return cellOf(cell)
  }).join(',')
}

/** A cell that a spreadsheet takes for a text, also where it looks like a formula. */
function cellOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'number') return String(value)
  const text = String(value)
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\n\r']/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert
}
