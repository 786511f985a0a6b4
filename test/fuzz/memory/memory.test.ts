import { expect, test } from 'vitest'
import { freshSeed, report } from '../fuzzer.ts'
import { fuzzer } from './fuzzer.ts'

test('nothing of a job that is over can be reached, however it was added and however it ended', async () => {
  const finding = await fuzzer.search({ seed: freshSeed(), runs: 60 })
  expect(finding === undefined ? 'no fault' : report('memory', finding)).toBe('no fault')
})
