/** What a shutdown says on stderr: what it waits for, and what did not finish. */
import type { StopReport, Unfinished } from '../engine/stopping.ts'

// A line is read by somebody who waits.
const MOST_NAMES = 5
const MOST_IDS = 10

/** What is waited for after a signal; null when that is nothing. */
export function waitingLine({
  signal,
  timeout,
  responses,
  jobs,
}: {
  readonly signal: NodeJS.Signals
  /** Milliseconds; Infinity for ever. */
  readonly timeout: number
  readonly responses: number
  /** How many jobs of each task. */
  readonly jobs: ReadonlyMap<string, number>
}): string | null {
  const things: string[] = []
  if (responses > 0) things.push(count(responses, 'open response'))
  const total = [...jobs.values()].reduce((sum, many) => sum + many, 0)
  if (total > 0) things.push(`${count(total, 'job')} (${taskNames(jobs)})`)
  if (things.length === 0) return null
  const howLong = timeout === Number.POSITIVE_INFINITY ? '' : ` up to ${seconds(timeout)}`
  return `${signal}: waiting${howLong} for ${things.join(' and ')}; again to stop at once`
}

/** What a shutdown cut off, lost or left, one line each. */
export function reportLines(
  report: StopReport & { readonly cut: number; readonly signal: NodeJS.Signals | null },
): string[] {
  const { lost, left, cut, signal } = report
  const why = signal === null ? 'shutdown' : `shutdown after ${signal}`
  const lines = [
    cut > 0 ? `${count(cut, 'connection')} ${cut === 1 ? 'was' : 'were'} still open and cut off` : '',
    lost.length > 0
      ? `${count(lost.length, 'job')} did not finish and ${lost.length === 1 ? 'is' : 'are'} lost: ${byName(lost)}`
      : '',
    left.length > 0
      ? `${count(left.length, 'job')} did not finish and ${left.length === 1 ? 'is' : 'are'} left for the next start: ${byName(left)}`
      : '',
  ]
  return lines.filter((line) => line !== '').map((line) => `${why}: ${line}`)
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

function seconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 100) / 10} s`
}

/** The tasks with most jobs first. */
function taskNames(jobs: ReadonlyMap<string, number>): string {
  const sorted = [...jobs].sort(([, a], [, b]) => b - a)
  const names = sorted.slice(0, MOST_NAMES).map(([name, many]) => (many === 1 ? name : `${name} x ${many}`))
  return [...names, ...(sorted.length > MOST_NAMES ? ['...'] : [])].join(', ')
}

/** By name, with how many, and ids of the first few. */
function byName(jobs: readonly Unfinished[]): string {
  const groups = Map.groupBy(jobs, (job) => job.name)
  return [...groups]
    .map(([name, of]) => {
      const ids = of.slice(0, MOST_IDS).map((job) => job.id)
      const more = of.length > ids.length ? ', ...' : ''
      return `${name} x ${of.length} (${ids.join(', ')}${more})`
    })
    .join('; ')
}
