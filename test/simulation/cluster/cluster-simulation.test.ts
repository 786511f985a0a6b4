import { expect, test } from 'vitest'
import { inCluster, report, search } from '../simulate.ts'

// A seed of one's own repeats a run: AFTERTASK_SEED=1 npx vitest run test/simulation/cluster
const seed = Number(process.env['AFTERTASK_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))

test('five thousand runs of several processes over one store keep every promise', {
  timeout: 600_000,
}, async () => {
  const steps = { least: 1, most: 30 }
  const finding = await search({ seed, runs: 5000, steps, simulation: inCluster() })
  expect(finding === undefined ? 'no fault' : report(finding, steps)).toBe('no fault')
})
