import { describe, expect, test } from 'vitest'
import { size, sizeOf } from '../../src/cli/size.ts'

describe('aftertask size', () => {
  test('takes as many threads as the peak needs at the given share of busy time', () => {
    const { load, threads, processes } = sizeOf({ rate: 50, ms: 120, peak: 3, busy: 0.75, cores: 4 })
    expect([load, threads, processes]).toEqual([18, 24, 8])
  })

  test('says how long jobs wait, as Erlang’s C formula does', () => {
    // One thread: the share that waits is the share of the time that it is busy.
    const one = sizeOf({ rate: 5, ms: 100, peak: 1, busy: 0.5, cores: 2 })
    expect([one.threads, one.waits, one.meanWait]).toEqual([1, 0.5, 100])
    // Two threads at half load: 1/3, from the textbook.
    const two = sizeOf({ rate: 10, ms: 100, peak: 1, busy: 0.5, cores: 2 })
    expect(two.waits).toBeCloseTo(1 / 3)
  })

  test('prints four lines', () => {
    expect(size(['--rate', '10', '--ms', '100']).split('\n')).toHaveLength(4)
  })

  test.each([
    [[], '--rate must be a number above 0'],
    [['--rate', 'many', '--ms', '1'], '--rate must be a number above 0'],
    [['--rate', '1', '--ms', '1', '--busy', '1'], '--busy must be below 1'],
  ])('refuses %j', (args, message) => {
    expect(() => size(args)).toThrow(message)
  })
})
