/**
 * The fixed times of a cron pattern ("02:30 and 14:30"): each comes once a day, also on the two days a year on which a
 * zone's clocks change. A time that is left out in spring comes right after the change, and one that comes twice in
 * autumn counts the first time.
 *
 * A pattern is walked through on the zone's local clock, on which each time of each day stands exactly once. Only then is
 * a local time turned into a moment.
 */
import type { Cron } from 'croner'

// No zone moves its clocks by more, and catching up on what was left out takes no longer.
const LONGEST_CHANGE = 3 * 3_600_000
// Far enough from a local time, read as UTC, to be on the other side of a change that is near it.
const A_DAY = 86_400_000
/** Between two times that were both left out; a schedule counts in whole seconds. */
const STEP = 1000

/** True when neither the minute nor the hour of a pattern is open: it then names times of the day. */
export function isFixed(pattern: string): boolean {
  const text = pattern.trim()
  if (text.startsWith('@')) return text.toLowerCase() !== '@hourly'
  const fields = text.split(/\s+/)
  const [minute = '', hour = ''] = fields.length > 5 ? fields.slice(1) : fields
  return !/[*?]/.test(minute + hour)
}

/** The moments of a fixed pattern in a time zone. */
export class FixedTimes {
  readonly #pattern: Cron
  readonly #offsetAt: (time: number) => number

  /** `pattern` is read in UTC: its runs stand for local times. Without a time zone: the machine's. */
  constructor(pattern: Cron, timeZone: string | undefined) {
    this.#pattern = pattern
    this.#offsetAt = offsetIn(timeZone)
  }

  /** The first moment after a time, in milliseconds since 1970; Infinity when there is none. */
  after(time: number): number {
    const before = time - LONGEST_CHANGE
    // What a change has left out, or has already had, can only be told from the change on.
    const hasChanged = this.#offsetAt(before) !== this.#offsetAt(time)
    for (const at of this.#momentsAfter(hasChanged ? this.#changeBetween(before, time) - 1 : time)) {
      if (at > time) return at
    }
    return Number.POSITIVE_INFINITY
  }

  *#momentsAfter(time: number): Iterable<number> {
    let least = Number.NEGATIVE_INFINITY
    let local = this.#pattern.nextRun(new Date(time + this.#offsetAt(time)))
    while (local !== null) {
      const at = Math.max(this.#momentOf(local.getTime()), least)
      least = at + STEP
      yield at
      local = this.#pattern.nextRun(local)
    }
  }

  /** When a local time comes first; the moment of the change when it is left out. */
  #momentOf(local: number): number {
    const offsetBefore = this.#offsetAt(local - A_DAY)
    const offsetAfter = this.#offsetAt(local + A_DAY)
    const earlier = local - offsetBefore
    if (this.#offsetAt(earlier) === offsetBefore) return earlier
    const later = local - offsetAfter
    if (this.#offsetAt(later) === offsetAfter) return later
    return this.#changeBetween(later, earlier)
  }

  /** The first moment with the offset that a zone has at the end of a period. */
  #changeBetween(from: number, to: number): number {
    const offset = this.#offsetAt(to)
    let [before, after] = [from, to]
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2)
      if (this.#offsetAt(middle) === offset) after = middle
      else before = middle
    }
    return after
  }
}

/** What is to be added to a moment to read it on a zone's clock, in milliseconds. */
function offsetIn(timeZone: string | undefined): (time: number) => number {
  if (timeZone === undefined) return (time) => -new Date(time).getTimezoneOffset() * 60_000
  const clock = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone, hourCycle: 'h23' },
    ...{ year: 'numeric', month: 'numeric', day: 'numeric' },
    ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
  })
  return (time) => {
    const part: Record<string, number> = {}
    for (const { type, value } of clock.formatToParts(time)) part[type] = Number(value)
    const { year = 0, month = 1, day = 0, hour = 0, minute = 0, second = 0 } = part
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(time / 1000) * 1000
  }
}
