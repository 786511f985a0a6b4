import { expect, test } from 'vitest'
import { inCluster, report, search } from '../simulate.ts'

// Many more by hand, each time with a new seed: npm run simulate -- --broker cluster --runs 50000 --jobs 2
const seed = Number(process.env['AFTERTASK_SEED'] ?? 1)

test('five hundred runs of several processes over one store keep every promise', async () => {
  const steps = { least: 1, most: 30 }
  const finding = await search({ seed, runs: 500, steps, simulation: inCluster() })
  expect(finding === undefined ? 'no fault' : report(finding, steps)).toBe('no fault')
})
