import { expect, test } from 'vitest'
import { freshSeed, report } from '../fuzzer.ts'
import { fuzzer } from './fuzzer.ts'

test('any value arrives whole or is refused, whatever way it goes', async () => {
  const finding = await fuzzer.search({ seed: freshSeed(), runs: 200 })
  expect(finding === undefined ? 'no fault' : report('values', finding)).toBe('no fault')
})
