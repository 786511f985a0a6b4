import { expect, test } from 'vitest'
import { freshSeed, report } from '../fuzzer.ts'
import { fuzzer, inlineFuzzer } from './fuzzer.ts'

test('a handler comes to the same inline and on threads, whatever it does', async () => {
  const finding = await fuzzer.search({ seed: freshSeed(), runs: 60 })
  expect(finding === undefined ? 'no fault' : report('inline', finding)).toBe('no fault')
})

test('a handler that does otherwise inline than on threads is found out', async () => {
  const otherwise = inlineFuzzer({ child: (payload) => [payload, 'more'] as never })
  expect(await otherwise.search({ seed: freshSeed(), runs: 500, shrinks: false })).toBeDefined()
})
