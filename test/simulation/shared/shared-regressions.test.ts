/** Plans of several processes over one journal that failed once, as small as they would go. */
import { expect, test } from 'vitest'
import type { Behaviour, Op, Plan } from '../plan.ts'
import { simulateShared } from '../simulate.ts'

const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'throws' }
const at = (process: number, does: Op): Op => ({ do: 'in', process, does })
const advance = (ms: number): Op => ({ do: 'advance', ms })
const world = {
  ...{ seed: 1, threads: 1, maxPending: 1000, ageing: 1000, retention: 1000, force: false, stillborn: 0 },
  processes: 2,
}

/** What failed, and the plan that showed it. */
const plans: Readonly<Record<string, Plan>> = {
  'a job that another process revives before its own has heard of its end is not told as cancelled': {
    world,
    specs: [{ task: 0, runs: [{ ...RETURNS, ends: 'throws' }, RETURNS] }],
    ops: [
      ...[advance(100), at(0, { do: 'pause', pool: null }), at(0, { do: 'add', spec: 0 }), advance(51)],
      ...Array.from({ length: 6 }, () => [at(1, { do: 'revive', job: 0 }), advance(5)]).flat(),
    ],
  },
  // It runs here still as the end that counts is heard of.
  'the handle of a job that another process has taken over and ended tells that end': {
    world: { ...world, seed: 0 },
    specs: [{ task: 0, runs: [{ ...RETURNS, ms: 5000 }] }],
    ops: [at(0, { do: 'add', spec: 0, try: false }), advance(100), { do: 'freeze', process: 0, ms: 40_000 }],
  },
  // The place that it had among the jobs which wait for a thread outlived it.
  'a job that a pause gave back to the others is not run here as well': {
    world: { ...world, seed: 0 },
    specs: [{ task: 0, runs: [{ ...RETURNS, ms: 5000 }, RETURNS], uniqueFor: 20, timeout: 5 }],
    ops: [
      at(0, { do: 'schedule', id: 's', spec: 0, every: 400, missed: 'once' }),
      advance(1000),
      at(3, { do: 'pause', pool: null }),
      advance(100),
    ],
  },
}

test.each(Object.entries(plans))('over a shared journal, %s', async (_name, failed) => {
  expect((await simulateShared(failed)) ?? 'no fault').toBe('no fault')
})
