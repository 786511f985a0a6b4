import { expect, test } from 'vitest'
import { onDisk, report, search } from '../simulate.ts'

// A seed of one's own repeats a run: AFTERTASK_SEED=1 npx vitest run test/simulation/durable
const seed = Number(process.env['AFTERTASK_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))

test('processes that crash between any two steps keep every promise of a journal', {
  timeout: 600_000,
}, async () => {
  const finding = await search({ seed, runs: 500, simulation: onDisk() })
  expect(finding === undefined ? 'no fault' : report(finding)).toBe('no fault')
})
