import { expect, test } from 'vitest'
import { report, search } from './simulate.ts'

// A seed of one's own repeats a run: AFTERTASK_SEED=1 npx vitest run test/simulation
const seed = Number(process.env['AFTERTASK_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))

test('thousands of runs of random operations keep every rule of the engine', {
  timeout: 600_000,
}, async () => {
  const finding = await search({ seed, runs: 4000 })
  expect(finding === undefined ? 'no fault' : report(finding)).toBe('no fault')
})

test('runs of thousands of operations keep them too', { timeout: 600_000 }, async () => {
  const steps = { least: 1000, most: 3000 }
  const finding = await search({ seed, runs: 25, steps })
  expect(finding === undefined ? 'no fault' : report(finding, steps)).toBe('no fault')
})
