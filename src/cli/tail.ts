/** `aftertask tail`: what happens to jobs, line by line, as it happens. */
import type { ToldEvent } from '../control/event-stream.ts'
import { EVENT_NAMES } from '../words/events.ts'
import type { JobInfo } from '../words/job.ts'
import type { Reach } from './answering.ts'
import { askFlags, asking, askUsage, EXIT, ended, type Page } from './command.ts'
import { whyOf } from './jobs.ts'
import { type Output, type Piece, styled } from './output.ts'
import { duration, stateOf } from './table.ts'
import { queryOf, whereFlags, whereUsage } from './where.ts'

const usage = `aftertask tail [--task NAME] [--event NAME]...
  [--event NAME]...    only these events, such as job:dead; job:started comes only when it is named
  [--id ID]            only of this job
  [--task NAME]        only of this task; * stands for any text
  [--text TEXT]        only with this text
  Over a journal or a store, which tell no events, the newest jobs are looked at once a second:
${whereUsage}
${askUsage}`

const flags = {
  ...askFlags,
  ...whereFlags,
  event: { type: 'string', multiple: true },
  id: { type: 'string' },
  text: { type: 'string' },
} as const

const LOOK_EVERY = 1000
const NEWEST = 200
const AT_FIRST = 20

/** `aftertask tail`. */
export const tail = asking(usage, flags, 'look', async ({ values, reach, out }) => {
  const end = ended(reach)
  const show = (event: ToldEvent): void => (values.json ? out.json(event) : out.line(eventLine(event)))
  if (reach.follow === null) await look(reach, out, queryOf(values, Date.now()), values.json, end)
  else {
    const { event, id, text, task } = values
    const names = event?.map((name) =>
      (EVENT_NAMES as readonly string[]).includes(name) ? name : `job:${name}`,
    )
    const tasks = task ?? [undefined]
    for (const one of tasks) {
      const filter = {
        ...(names && { events: names }),
        ...(one && { task: one }),
        ...(id && { id }),
        ...(text && { text }),
      }
      await reach.follow(filter, show)
    }
    process.stderr.write(`aftertask tail: following ${reach.name}\n`)
    await end
  }
  return EXIT.done
})

/** Shows the newest jobs, and again each that has changed since. */
async function look(
  reach: Reach,
  out: Output,
  query: object,
  isJson: boolean,
  end: Promise<void>,
): Promise<void> {
  let known = new Map<string, string>()
  let isOver = false
  void end.then(() => {
    isOver = true
  })
  for (let isFirst = true; !isOver; isFirst = false) {
    const { jobs } = await reach.ask<Page>('jobs', {
      query: { ...query, limit: isFirst ? AT_FIRST : NEWEST },
    })
    const seen = new Map(jobs.map((job) => [job.id, `${job.state} ${job.attempts}`]))
    for (const job of jobs.toReversed()) {
      if (known.get(job.id) === seen.get(job.id)) continue
      if (isJson) out.json(job)
      else out.line(stateLine(job))
    }
    known = seen
    let timer: NodeJS.Timeout | undefined
    const pause = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LOOK_EVERY)
    })
    await Promise.race([pause, end])
    clearTimeout(timer)
  }
}

function stateLine(job: JobInfo): Piece[] {
  const at = job.settledAt ?? job.enqueuedAt
  return [
    styled('dim', clock(at)),
    ' ',
    stateOf(job.state),
    ' ',
    styled('bold', job.name),
    ' ',
    job.id,
    ' ',
    whyOf(job),
  ]
}

/** One event as a line. */
export function eventLine({ time, event, ...fields }: ToldEvent): Piece[] {
  const job = fields['job'] as { id: string; name: string; attempt: number } | undefined
  const name = job === undefined ? event : event.replace(/^job:/, '')
  const pieces: Piece[] = [styled('dim', clock(time)), ' ', nameOf(name)]
  if (job !== undefined) {
    pieces.push(' ', styled('bold', job.name), ' ', job.id)
    if (job.attempt > 1) pieces.push(` try ${job.attempt}`)
  }
  for (const [field, value] of Object.entries(fields))
    if (field !== 'job') pieces.push(` ${fieldOf(field, value)}`)
  return pieces
}

function nameOf(name: string): Piece {
  if (/dead|lost|error|down|exited/.test(name)) return styled('red', name)
  if (/retrying|interrupted|overloaded|missed/.test(name)) return styled('yellow', name)
  return name === 'completed' ? styled('green', name) : styled('cyan', name)
}

const DURATIONS = ['waited', 'ran', 'total', 'delay', 'downFor', 'restartIn']

function fieldOf(field: string, value: unknown): string {
  if (field === 'error' && typeof value === 'object' && value !== null) {
    const { name, code, message } = value as { name: string; code?: string; message: string }
    return `${code ?? name}: ${message}`
  }
  if (field === 'message') return String(value)
  if (typeof value === 'number' && DURATIONS.includes(field)) return `${field}=${duration(value)}`
  return `${field}=${typeof value === 'string' ? value : JSON.stringify(value)}`
}

function clock(time: number): string {
  return new Date(time).toISOString().slice(11, 23)
}
