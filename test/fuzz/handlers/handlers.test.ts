import { expect, test } from 'vitest'
import { freshSeed, report } from '../fuzzer.ts'
import { fuzzer, handlersFuzzer } from './fuzzer.ts'

test('whatever handlers and their modules do, each job has one end and the next one succeeds', async () => {
  const finding = await fuzzer.search({ seed: freshSeed(), runs: 6 })
  expect(finding && report(fuzzer.name, finding)).toBeUndefined()
})

test('the fuzzer of handlers finds that errors are listened for too late', async () => {
  const late = handlersFuzzer({
    entry: new URL('./late-listeners-thread.ts', import.meta.url),
    deeds: /rethrows|leaves a (timer that throws$|rejection$)|waits a little|never ends/,
  })
  const finding = await late.search({ seed: 1, runs: 100, shrinks: false })
  expect(finding?.fault).toMatch(/nothing ended a thread|die while they start/)
})
