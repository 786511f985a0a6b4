import { expect, test } from 'vitest'
import { inCluster, report, search } from '../simulate.ts'

const seed = Number(process.env['AFTERTASK_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))

test('two thousand runs of several processes over one store keep every promise', {
  timeout: 240_000,
}, async () => {
  const steps = { least: 1, most: 30 }
  const finding = await search({ seed, runs: 2000, steps, simulation: inCluster() })
  expect(finding === undefined ? 'no fault' : report(finding, steps)).toBe('no fault')
})
