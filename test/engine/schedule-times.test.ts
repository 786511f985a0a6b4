import { describe, expect, test } from 'vitest'
import { dueRuns, nextAfter, readRule } from '../../src/engine/schedule-times.ts'

const at = (time: string): number => Date.parse(time)
const iso = (time: number): string => new Date(time).toISOString()
const berlin = (cron: string) => readRule({ cron, timeZone: 'Europe/Berlin' }, at('2026-01-01T00:00:00Z'))

function next(cron: string, after: string): string {
  return iso(nextAfter(berlin(cron), 0, at(after)))
}

describe('a cron schedule in a time zone', () => {
  test('is read in that zone, winter and summer', () => {
    expect(next('0 3 * * *', '2026-01-10T00:00:00Z')).toBe('2026-01-10T02:00:00.000Z')
    expect(next('0 3 * * *', '2026-07-10T00:00:00Z')).toBe('2026-07-10T01:00:00.000Z')
  })

  test('runs once on the day on which its hour does not exist', () => {
    // The clocks go from 02:00 to 03:00 on 29 March 2026.
    const first = next('30 2 * * *', '2026-03-28T12:00:00Z')
    expect(first.startsWith('2026-03-29T01:')).toBe(true)
    expect(next('30 2 * * *', first)).toBe('2026-03-30T00:30:00.000Z')
  })

  test('runs once on the day on which its hour comes twice', () => {
    // The clocks go from 03:00 back to 02:00 on 25 October 2026.
    const first = next('30 2 * * *', '2026-10-24T12:00:00Z')
    expect(first.startsWith('2026-10-25T0')).toBe(true)
    expect(next('30 2 * * *', first)).toBe('2026-10-26T01:30:00.000Z')
  })

  test('goes on every hour through both changes', () => {
    expect(next('0 * * * *', '2026-03-29T00:30:00Z')).toBe('2026-03-29T01:00:00.000Z')
    expect(next('0 * * * *', '2026-10-25T00:30:00Z')).toBe('2026-10-25T01:00:00.000Z')
  })
})

describe('a schedule that is due', () => {
  const rule = (missed: 'once' | 'all' | 'skip') => readRule({ every: 1000, missed }, 0)

  test('runs at its time, and is next due one period later', () => {
    expect(dueRuns(rule('once'), 5000, 5003)).toEqual({ runs: [5000], next: 6000 })
  })

  test('makes up what was missed with one run', () => {
    expect(dueRuns(rule('once'), 5000, 35_500)).toEqual({ runs: [35_000], next: 36_000 })
  })

  test('makes up each missed run when it is to', () => {
    const { runs, next: after } = dueRuns(rule('all'), 5000, 8500)
    expect([runs, after]).toEqual([[5000, 6000, 7000, 8000], 9000])
  })

  test('makes up no more than the latest hundred', () => {
    const { runs } = dueRuns(rule('all'), 5000, 10_000_000)
    expect(runs).toHaveLength(100)
    expect(runs.at(-1)).toBe(10_000_000)
  })

  test('skips what was missed when it is to', () => {
    const hourly = readRule({ cron: '0 * * * *', timeZone: 'UTC', missed: 'skip' }, 0)
    const due = at('2026-05-01T10:00:00Z')
    const { runs, next: after } = dueRuns(hourly, due, at('2026-05-01T13:30:00Z'))
    expect([runs, iso(after)]).toEqual([[], '2026-05-01T14:00:00.000Z'])
    expect(dueRuns(hourly, due, due + 5).runs).toEqual([due])
  })
})

describe('what a schedule is given', () => {
  test.each([
    [{}, 'either "cron" or "every"'],
    [{ cron: '* * * * *', every: 5 }, 'either "cron" or "every"'],
    [{ cron: 'every day' }, 'the cron pattern "every day"'],
    [{ cron: '0 3 * * *', timeZone: 'Mars/Olympus' }, 'Mars/Olympus'],
    [{ every: 1000, timeZone: 'UTC' }, '"timeZone" goes with "cron"'],
    [{ every: 0 }, 'at least 1'],
    [{ crom: '* * * * *' }, 'Did you mean "cron"'],
  ])('%j is refused', (options, message) => {
    expect(() => readRule(options as object, 0)).toThrow(message)
  })
})
