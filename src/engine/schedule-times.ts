/** When a schedule is due: cron in a time zone, or every so many milliseconds. */
import { Cron } from 'croner'
import { z } from 'zod'
import { readOptions } from '../rules/options.ts'
import { OptionsInvalidError } from '../words/errors.ts'
import { FixedTimes, isFixed } from './fixed-times.ts'

/** When a schedule runs, and what becomes of runs that nobody was there for. */
export interface ScheduleOptions {
  /** A cron pattern: five fields, or six with seconds first, or a nickname such as `@daily`. Either this or `every`. */
  cron?: string
  /** The time zone that `cron` is read in, such as `Europe/Berlin`. Default: the machine's. */
  timeZone?: string
  /** Milliseconds between runs, counted from the first `schedule` call. Either this or `cron`. */
  every?: number
  /**
   * Runs whose time passed while no process was there, or that are more than ten seconds late: `once` (default) makes
   * them up with a single job, `all` with one each (the latest 100), `skip` with none.
   */
  missed?: 'once' | 'all' | 'skip'
}

/** What a schedule is made of, as it is compared and kept. */
export interface ScheduleRule {
  readonly cron?: string
  readonly timeZone?: string
  readonly every?: number
  readonly missed: 'once' | 'all' | 'skip'
}

const schema = z.lazy(() =>
  z.strictObject({
    cron: z.string({ error: "expected a cron pattern such as '0 3 * * *'" }).optional(),
    timeZone: z.string({ error: "expected a time zone such as 'Europe/Berlin'" }).optional(),
    every: z.number({ error: 'expected milliseconds' }).min(1, 'expected at least 1 millisecond').optional(),
    missed: z.enum(['once', 'all', 'skip'], { error: "expected 'once', 'all' or 'skip'" }).default('once'),
  }),
)

/** What lateness makes a run a missed one, in milliseconds. */
const LATE = 10_000
const MOST_MADE_UP = 100

/**
 * Checks what a schedule was given.
 *
 * @throws OptionsInvalidError naming the fault.
 */
export function readRule(given: ScheduleOptions, wall: number): ScheduleRule {
  const read = Object.entries(readOptions(schema, given, 'schedule'))
  const rule = Object.fromEntries(read.filter(([, value]) => value !== undefined)) as unknown as ScheduleRule
  if ((rule.cron === undefined) === (rule.every === undefined)) {
    throw new OptionsInvalidError('schedule: give either "cron" or "every".', 'cron')
  }
  if (rule.timeZone !== undefined && rule.cron === undefined) {
    throw new OptionsInvalidError('schedule: "timeZone" goes with "cron" only.', 'timeZone')
  }
  // A pattern with a year may well be over; without one it has a run, or never had.
  const { cron } = rule
  const isNever = nextAfter(rule, wall, wall) === Number.POSITIVE_INFINITY
  if (isNever && cron !== undefined && cron.trim().split(/\s+/).length < 7) {
    throw new OptionsInvalidError(
      `schedule: the cron pattern "${cron}" never comes: no month that it names has such a day.`,
      'cron',
    )
  }
  return rule
}

/** The first run after a time; Infinity when there is none. `from` is a run, or the start, that `every` counts from. */
export function nextAfter(rule: ScheduleRule, from: number, after: number): number {
  const { every } = rule
  if (every !== undefined) return from + Math.max(1, Math.floor((after - from) / every) + 1) * every
  let times = timesOf.get(rule)
  if (times === undefined) {
    times = cronTimes(rule.cron ?? '', rule.timeZone)
    timesOf.set(rule, times)
  }
  return times(after)
}

/** A wait for `every` that is longer by less is no sign of a clock that was set. Two processes read it a little apart. */
const EVERY_SLACK = 1000
/** A run of a pattern is not made again when the clock goes back by less. */
const CRON_SLACK = 60_000

/**
 * When a schedule that was due at `nextAt` is to be due, now that it is `now`. A time that is further away than the rule's
 * next was found while the clock was ahead: the schedule would stand still until then.
 */
export function mendedNext(rule: ScheduleRule, nextAt: number, now: number): number {
  const { every } = rule
  if (every !== undefined) return nextAt > now + every + EVERY_SLACK ? now + every : nextAt
  if (nextAt <= now || nextAfter(rule, now, now + CRON_SLACK) >= nextAt) return nextAt
  return nextAfter(rule, now, now)
}

type Times = (after: number) => number

// Reading a pattern costs far more than asking it.
const timesOf = new WeakMap<ScheduleRule, Times>()

/** Fixed times come once a day, whatever a change of the clocks does to that day; a pattern with wildcards goes by real time. */
function cronTimes(cron: string, timeZone: string | undefined): Times {
  if (timeZone !== undefined && !isTimeZone(timeZone)) {
    throw new OptionsInvalidError(
      `schedule: there is no time zone "${timeZone}"; expected a name such as "Europe/Berlin" or "UTC".`,
      'timeZone',
    )
  }
  try {
    if (isFixed(cron)) {
      const fixed = new FixedTimes(new Cron(cron, { timezone: 'UTC', paused: true }), timeZone)
      return (after) => fixed.after(after)
    }
    const open = new Cron(cron, { ...(timeZone !== undefined && { timezone: timeZone }), paused: true })
    return (after) => open.nextRun(new Date(after))?.getTime() ?? Number.POSITIVE_INFINITY
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OptionsInvalidError(`schedule: the cron pattern "${cron}" cannot be used: ${why}`, 'cron', {
      cause,
    })
  }
}

function isTimeZone(name: string): boolean {
  try {
    Intl.DateTimeFormat('en-US', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** Which runs are to be made now of a schedule that was due at `due`, and when it is next due. */
export function dueRuns(
  rule: ScheduleRule,
  due: number,
  now: number,
): { readonly runs: number[]; readonly next: number } {
  const times: number[] = []
  let next = due
  // A pattern of every second that slept for a month is not walked through one by one.
  if (rule.every !== undefined && (now - due) / rule.every > MOST_MADE_UP) {
    next = due + Math.floor((now - due) / rule.every - MOST_MADE_UP) * rule.every
  }
  while (next <= now) {
    times.push(next)
    if (times.length > MOST_MADE_UP) {
      times.shift()
      if (rule.missed !== 'all') return { runs: choose(rule, [now], now), next: nextAfter(rule, next, now) }
    }
    next = nextAfter(rule, next, next)
  }
  return { runs: choose(rule, times, now), next }
}

function choose({ missed }: ScheduleRule, times: readonly number[], now: number): number[] {
  if (missed === 'all') return [...times]
  const last = times.at(-1)
  if (last === undefined) return []
  return missed === 'skip' && now - last > LATE ? [] : [last]
}
