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

/** The moments of a pattern in a period, on the zone's clock. */
function localTimes(cron: string, timeZone: string, from: string, to: string): string[] {
  const rule = readRule({ cron, timeZone }, at(from))
  const clock = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone, month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  })
  const times: string[] = []
  for (let time = nextAfter(rule, 0, at(from)); time < at(to); time = nextAfter(rule, time, time)) {
    times.push(clock.format(time).replace(', ', ' '))
  }
  return times
}

describe('a cron pattern of fixed times', () => {
  test.each([
    // The clocks go from 02:00 to 03:00.
    ['30 2,14 * * *', ['29/03 03:00:00', '29/03 14:30:00']],
    ['0,30 2 * * *', ['29/03 03:00:00', '29/03 03:00:01']],
    ['0 2,3 * * *', ['29/03 03:00:00', '29/03 03:00:01']],
    ['15-17 1-3 * * *', '01:15:00 01:16:00 01:17:00 03:00:00 03:00:01 03:00:02 03:15:00 03:16:00 03:17:00'],
    ['0 30 1,2,4 * * *', ['29/03 01:30:00', '29/03 03:00:00', '29/03 04:30:00']],
    ['30 2 * * SUN', ['29/03 03:00:00']],
    ['@daily', ['29/03 00:00:00']],
  ])('has each of "%s" once on the day on which an hour is left out', (cron, expected) => {
    const times = localTimes(cron, 'Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z')
    const whole = typeof expected === 'string' ? expected.split(' ').map((time) => `29/03 ${time}`) : expected
    // Midnight itself is one millisecond too early to be "after".
    expect(times).toEqual(cron === '@daily' ? [] : whole)
  })

  test.each([
    // The clocks go from 03:00 back to 02:00.
    ['30 2,14 * * *', '02:30:00 14:30:00'],
    ['0,30 1,2,3 * * *', '01:00:00 01:30:00 02:00:00 02:30:00 03:00:00 03:30:00'],
    ['0 0,30 2 * * *', '02:00:00 02:30:00'],
    ['5-15/5 2 25 10 *', '02:05:00 02:10:00 02:15:00'],
  ])('has each of "%s" once on the day on which an hour comes twice', (cron, expected) => {
    const times = localTimes(cron, 'Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z')
    expect(times).toEqual(expected.split(' ').map((time) => `25/10 ${time}`))
  })

  test.each([
    ['Australia/Lord_Howe', '2026-10-03T11:59:59Z', '2026-10-05T11:59:59Z'],
    ['Australia/Lord_Howe', '2026-04-03T11:59:59Z', '2026-04-06T11:59:59Z'],
    ['Africa/Cairo', '2026-04-22T11:59:59Z', '2026-04-25T11:59:59Z'],
    ['Africa/Cairo', '2026-10-28T11:59:59Z', '2026-10-31T11:59:59Z'],
    ['America/Sao_Paulo', '2018-11-02T11:59:59Z', '2018-11-05T11:59:59Z'],
    ['America/New_York', '2026-03-06T11:59:59Z', '2026-03-09T11:59:59Z'],
  ])('has every hour and half hour as often as there are days in %s from %s', (zone, from, to) => {
    const hours = Array.from({ length: 24 }, (_, hour) => hour).join(',')
    const days = (at(to) - at(from)) / 86_400_000
    const times = localTimes(`0,30 ${hours} * * *`, zone, from, to)
    // The period begins and ends at the same time of UTC, so at most an hour of it was gained or lost.
    expect(Math.abs(times.length - days * 48)).toBeLessThanOrEqual(2)
    for (const [index, time] of times.entries()) expect(times.indexOf(time)).toBe(index)
  })

  test('does not depend on where one asks from', () => {
    const rule = readRule({ cron: '0,20,40 1-3 * * *', timeZone: 'Europe/Berlin' }, 0)
    const times = localTimes(
      '0,20,40 1-3 * * *',
      'Europe/Berlin',
      '2026-03-28T23:00:00Z',
      '2026-03-29T22:00:00Z',
    )
    expect(times).toHaveLength(9)
    const moments = new Set<number>()
    const ask = (from: string, to: string, step: number): void => {
      for (let time = at(from); time < at(to); time += step) moments.add(nextAfter(rule, 0, time))
    }
    ask('2026-03-28T23:00:00Z', '2026-03-29T02:00:00Z', 60_000)
    ask('2026-03-29T00:59:58Z', '2026-03-29T01:00:08Z', 500)
    // Those of the night, and the first of the next one.
    expect(moments.size).toBe(10)
  })

  test('is read on the clock of the machine when no zone is given', () => {
    const rule = readRule({ cron: '30 9 * * *' }, 0)
    const run = new Date(nextAfter(rule, 0, at('2026-06-01T12:00:00Z')))
    expect([run.getHours(), run.getMinutes(), run.getSeconds()]).toEqual([9, 30, 0])
  })
})

describe('a cron pattern with wildcards', () => {
  test.each([
    ['*/30 * * * *', 46, 50],
    ['30 */2 * * *', 11, 13],
    ['*/15 2 * * *', 0, 8],
    ['@hourly', 23, 25],
  ])('goes by real time: "%s" on the days of 23 and of 25 hours', (cron, inSpring, inAutumn) => {
    const spring = localTimes(cron, 'Europe/Berlin', '2026-03-28T22:59:59Z', '2026-03-29T22:00:00Z')
    const autumn = localTimes(cron, 'Europe/Berlin', '2026-10-24T21:59:59Z', '2026-10-25T23:00:00Z')
    expect([spring.length, autumn.length]).toEqual([inSpring, inAutumn])
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
    [
      { cron: '0 3 * * *', timeZone: 'Europe/Berln' },
      'schedule: there is no time zone "Europe/Berln"; expected',
    ],
    [{ cron: '*/5 * * * *', timeZone: 'Mars/Olympus' }, 'there is no time zone "Mars/Olympus"'],
    [{ cron: '0 0 30 2 *' }, '"0 0 30 2 *" never comes'],
    [{ every: 1000, timeZone: 'UTC' }, '"timeZone" goes with "cron"'],
    [{ every: 0 }, 'at least 1'],
    [{ crom: '* * * * *' }, 'Did you mean "cron"'],
  ])('%j is refused', (options, message) => {
    expect(() => readRule(options as object, 0)).toThrow(message)
  })
})
