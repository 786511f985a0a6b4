import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffDelay, NO_RETRY, retryPolicy } from '../../src/rules/retry.ts'

const exponential = { type: 'exponential', delay: 100, max: 1000, jitter: false } as const

describe('the delay before a retry', () => {
  test('doubles with each failure, up to the maximum', () => {
    const delays = [1, 2, 3, 4, 5, 6].map((failures) => backoffDelay(exponential, failures, () => 0))
    expect(delays).toEqual([100, 200, 400, 800, 1000, 1000])
  })

  test('stays the same when it is fixed', () => {
    const fixed = { ...exponential, type: 'fixed' } as const
    expect([1, 2, 9].map((failures) => backoffDelay(fixed, failures, () => 0))).toEqual([100, 100, 100])
  })

  test('with full jitter is anything from 0 to the full delay', () => {
    const jittered = { ...exponential, jitter: true }
    expect([0, 0.25, 0.999].map((random) => backoffDelay(jittered, 3, () => random))).toEqual([0, 100, 400])
  })

  test('with a share of jitter keeps the rest of the delay', () => {
    const jittered = { ...exponential, jitter: 0.5 }
    expect([0, 0.5].map((random) => backoffDelay(jittered, 3, () => random))).toEqual([200, 300])
  })

  test('is a whole number of milliseconds from 0 to the maximum, for any policy and any number of failures', () => {
    fc.assert(
      fc.property(
        fc.record({
          type: fc.constantFrom('exponential' as const, 'fixed' as const),
          delay: fc.nat(1e6),
          max: fc.nat(1e7),
          jitter: fc.oneof(fc.boolean(), fc.double({ min: 0, max: 1, noNaN: true })),
        }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (backoff, failures, random) => {
          const delay = backoffDelay(backoff, failures, () => random)
          expect(Number.isInteger(delay)).toBe(true)
          expect(delay).toBeGreaterThanOrEqual(0)
          expect(delay).toBeLessThanOrEqual(backoff.max)
        },
      ),
    )
  })
})

describe('a retry policy', () => {
  test('that is asked for with nothing said makes three attempts, from one second, doubling, with full jitter', () => {
    expect(retryPolicy({})).toEqual({
      maxAttempts: 3,
      backoff: { type: 'exponential', delay: 1000, max: 60_000, jitter: true },
    })
  })

  test('that is not asked for makes one attempt', () => {
    expect(NO_RETRY.maxAttempts).toBe(1)
  })
})
