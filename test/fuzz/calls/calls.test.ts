import { describe, expect, test } from 'vitest'
import { toRecord } from '../../../src/engine/acceptance.ts'
import { engineOf } from '../../../src/engine/runtime.ts'
import { unbounded } from '../../../src/rules/bounds.ts'
import { freshSeed, report } from '../fuzzer.ts'
import { callsFuzzer, fuzzer } from './fuzzer.ts'
import { tasks } from './hostile.ts'
import type { Target } from './targets.ts'

test('a call with anything is taken, or refused with a typed error and nothing kept', async () => {
  const finding = await fuzzer.search({ seed: freshSeed(), runs: 150 })
  expect(finding && report('calls', finding)).toBeUndefined()
})

const faults: readonly [string, Record<string, Target>, RegExp][] = [
  [
    'options that nobody has checked',
    {
      'runtime.enqueue(any)': {
        call: ({ runtime }, [payload, options]) => {
          const { registry, clock } = runtime[engineOf]
          const entry = registry.find(tasks.any)
          return toRecord(
            { entry, payload, options: options as never, key: undefined, unique: undefined },
            1,
            clock,
            unbounded('payload'),
          )
        },
      },
    },
    /runtime\.enqueue\(any\): threw (?:what is the caller's own: )?\w*Error/,
  ],
  [
    'jobs that are added one by one until one is refused',
    {
      'runtime.enqueueMany([any])': {
        call: ({ runtime }, [payload, options]) =>
          [1, payload].map((given, index) =>
            runtime.enqueue(tasks.any, given, index === 0 ? undefined : (options as never)),
          ),
      },
    },
    /refused, and 1 jobs more are pending/,
  ],
]

describe('the fuzzer of calls finds', () => {
  test.each(faults)('%s', async (_what, faulty, says) => {
    const finding = await callsFuzzer(faulty).search({ seed: 1, runs: 5000, shrinks: false })
    expect(finding?.fault).toMatch(says)
  })
})
