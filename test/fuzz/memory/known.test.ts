/** Programs after which something was kept, as the fuzzer found and shrunk them. */
import { expect, test } from 'vitest'
import { play } from './fuzzer.ts'
import type { Added, Program } from './program.ts'

const plain: Added = { task: 'plain', ends: 'returns', ms: 0 }
const world = { broker: 'memory', seed: 0, window: 4096 } as const

const programs: readonly (Program & { readonly name: string })[] = [
  {
    ...world,
    name: 'a job that came back from its thread unstarted leaves the timeline with its end',
    retention: 0,
    steps: [
      { do: 'add', job: { ...plain, unique: 'u' }, batch: null },
      { do: 'advance', ms: 100 },
      {
        do: 'add',
        job: { ...plain, ms: 60, priority: 1, unique: 'u', when: 'ok', signal: 'own' },
        batch: null,
      },
      {
        do: 'add',
        job: { ...plain, queueTimeout: 3_600_000, when: 'ok', parallel: false },
        batch: null,
      },
      { do: 'settle', batch: 0, statusCode: 200 },
    ],
    end: 'expired while paused',
  },
  {
    ...world,
    name: 'a dead job of a batch that shares another keeps nothing of that one',
    retention: 3,
    steps: [
      { do: 'open' },
      { do: 'add', job: { ...plain, queueTimeout: 0, unique: 'v', signal: 'own' }, batch: 0 },
      { do: 'add', job: { ...plain, queueTimeout: 0, priority: 1, unique: 'u', uniqueFor: 50 }, batch: 0 },
      { do: 'add', job: { ...plain, unique: 'v', when: 'ok', parallel: false }, batch: null },
    ],
    end: 'run',
  },
]

test.each(programs)('$name', async (program) => {
  expect(await play(program)).toBeUndefined()
})
