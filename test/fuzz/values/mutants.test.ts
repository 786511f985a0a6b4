import { expect, test, vi } from 'vitest'
import { damageFuzzer } from './fuzzer.ts'

// One decode of the event loop is left without its guard.
vi.mock('../../../src/rules/codec.ts', async (original) => {
  const codec = await original<typeof import('../../../src/rules/codec.ts')>()
  return { ...codec, readOrError: codec.decode }
})

test('the fuzzer of values finds a decode that is unguarded', async () => {
  const finding = await damageFuzzer.search({ seed: 1, runs: 10, shrinks: false })
  expect(finding?.fault).toMatch(/rows|deserialize|iterable|map/i)
})
