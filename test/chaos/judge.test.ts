/** That the judge of the chaos sees what is wrong, and lets pass what is not. */
import { describe, expect, test } from 'vitest'
import { judge } from './judge.ts'
import type { Deed, Line } from './trail.ts'

const RULES = { lease: 5000, stop: 1500 }

const line = (at: number, what: string, by: string, mark = 'w'): Line => ({ at, what, by, mark })
const run = (by: string, begin: number, end: number, mark = 'w'): Line[] => [
  line(begin, 'begin', by, mark),
  line(end, 'end', by, mark),
]
const faultsOf = (lines: readonly Line[], deeds: readonly Deed[] = []): readonly string[] =>
  judge(lines, deeds, RULES).faults

describe('the judge of the chaos', () => {
  test('misses work that was stored and never ended', () => {
    expect(faultsOf([line(0, 'stored', 'a'), line(1, 'begin', 'b')])).toHaveLength(1)
    expect(faultsOf([line(0, 'stored', 'a'), ...run('b', 1, 2)])).toEqual([])
  })

  test('asks for an excuse when work runs again', () => {
    const twice = [...run('a', 0, 10), ...run('b', 9000, 9010)]
    expect(faultsOf(twice)).toHaveLength(1)
    const outage = (at: number, until: number): Deed[] => [{ at, what: 'store', kind: 'stopped', until }]
    expect(faultsOf([line(0, 'begin', 'a'), ...run('b', 9000, 9010)], outage(1, 6000))).toEqual([])
    // The run was over, and its process lived: its end had to be written once the store was back.
    expect(faultsOf(twice, outage(20, 1500))).toHaveLength(1)
    expect(faultsOf(twice, [{ at: 5, what: 'killed', by: 'a' }])).toEqual([])
    expect(faultsOf(twice, [{ at: 5000, what: 'killed', by: 'a' }])).toHaveLength(1)
    expect(faultsOf(twice, [{ at: 5, what: 'killed', by: 'b' }])).toHaveLength(1)
    expect(faultsOf(twice, [{ at: 5, what: 'still', by: 'a', until: 8000 }])).toEqual([])
    expect(faultsOf(twice, [{ at: 5, what: 'still', by: 'a', until: 1000 }])).toHaveLength(1)
  })

  test('lets pass what ran beside a cancelled job that took the thread with it', () => {
    const cut = [line(0, 'begin', 'a'), line(1, 'begin', 'a', 'v'), ...run('a', 600, 610)]
    expect(faultsOf(cut)).toHaveLength(1)
    expect(faultsOf([line(-9, 'cancelling', 'b', 'v'), ...cut])).toEqual([])
  })

  test('sees work of one key side by side', () => {
    const keyed = [...run('a', 0, 10), ...run('b', 5, 15, 'v')].map((one) => ({ ...one, key: 'k' }))
    expect(faultsOf(keyed)).toHaveLength(1)
  })

  test('sees a process that stops late, or goes by itself', () => {
    const told = { at: 0, what: 'told to stop', by: 'a' }
    expect(faultsOf([], [told, { at: 2400, what: 'gone', by: 'a', code: '0' }])).toEqual([])
    expect(faultsOf([], [told, { at: 2600, what: 'gone', by: 'a', code: '0' }])).toHaveLength(1)
    expect(faultsOf([], [{ at: 1, what: 'gone', by: 'a', code: '1' }])).toHaveLength(1)
  })

  test('sees a schedule that stands still once all is well', () => {
    const calm = [{ at: 0, what: 'calm' }]
    expect(faultsOf(run('a', 100, 110, 'tick:1'), calm)).toHaveLength(1)
    expect(faultsOf(run('a', 9000, 9010, 'tick:1'), calm)).toEqual([])
  })
})
