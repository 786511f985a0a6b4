/** Plans of several processes that failed once, as small as they would go. */
import { describe, expect, test } from 'vitest'
import type { Behaviour, Op, Plan, Spec } from '../plan.ts'
import { simulateCluster } from '../simulate.ts'

const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'throws' }
const PLAIN = 0
const SINGLE = 3
const URGENT = 9
const IO = 11

function plan(specs: readonly Partial<Spec>[], ops: readonly Op[], world: Partial<Plan['world']> = {}): Plan {
  return {
    world: {
      ...{ seed: 0, threads: 1, maxPending: 1000, ageing: 1000, retention: 1000, force: false, stillborn: 0 },
      ...{ processes: 2, isOrdered: false, ...world },
    },
    specs: specs.map((spec) => ({ task: PLAIN, runs: [RETURNS], ...spec })),
    ops,
  }
}

const at = (process: number, does: Op): Op => ({ do: 'in', process, does })
const add = (spec: number): Op => ({ do: 'add', spec })
const batch = (spec: number): Op => ({ do: 'batch', batch: 0, spec })
const settle: Op = { do: 'settle', batch: 0, end: 'sent' }
const advance = (ms: number): Op => ({ do: 'advance', ms })

/** What failed, and the plan that showed it. */
const plans: Readonly<Record<string, Plan>> = {
  'a task with a limit of its own runs on a pool of one thread': plan(
    [{ task: SINGLE }],
    [at(0, add(0)), at(0, { do: 'pause', pool: null })],
    { seed: 1 },
  ),
  'a duplicate does not stay in the lock of its key': plan(
    [{ key: 'a', runs: [{ ...RETURNS, ms: 300 }], unique: 'u' }],
    [at(0, add(0)), at(1, batch(0)), advance(20)],
  ),
  'a batch keeps its order over several queues': plan(
    [{ key: 'a', delay: 0 }, { task: IO }],
    [at(0, batch(0)), at(0, batch(1)), at(0, batch(0))],
  ),
  'a batch keeps its order when one of its jobs is in the store before its response is over': plan(
    [{}, { delay: 0 }],
    [
      ...[0, 0, 0, 0].map((spec) => at(0, add(spec))),
      ...[at(0, batch(1)), at(0, add(0)), { do: 'store', what: 'restarts', ms: 30 } as const],
      ...[at(0, batch(1)), at(0, add(0))],
    ],
    { processes: 3 },
  ),
  'a job of a batch waits for the first one when the one between them ended before it was written': plan(
    [{ key: 'a' }, { queueTimeout: 0, when: 'always' }, { task: SINGLE, when: 'always' }],
    [advance(1000), at(0, batch(0)), at(0, settle), at(0, batch(1)), at(0, batch(2))],
    { isOrdered: true },
  ),
  'a job that is cancelled elsewhere before the answer to its being written has come does not come back':
    plan(
      [{ delay: 0 }],
      [
        ...[advance(1), at(0, add(0)), { do: 'freeze', process: 0, ms: 7000 } as const],
        ...[
          at(1, { do: 'cancel', job: 0, by: 'handle' }),
          advance(100),
          { do: 'cut', process: 0, ms: 0 } as const,
        ],
      ],
      { seed: 1 },
    ),
  'a job that is cancelled while its retry is being written settles': plan(
    [
      {
        task: 9,
        runs: [
          { ...RETURNS, ends: 'dies', ms: 0.4, blocks: true },
          { ...RETURNS, ends: 'throws', ms: 1 },
        ],
      },
      { task: 8 },
    ],
    [
      ...[advance(1000), at(3, add(0)), at(2, add(1)), at(3, { do: 'cancel', job: 28, by: 'signal' })],
      ...[at(0, { do: 'cancel', job: 47, by: 'signal' }), advance(20)],
    ],
    { seed: 2_079_578_684, threads: 3, processes: 4 },
  ),
  'a job that is cancelled elsewhere after its process stood still is not told to be completed there': plan(
    [
      {
        task: SINGLE,
        runs: [{ ends: 'returns', ms: 5000, blocks: true, onAbort: 'returns' }],
        queueTimeout: 60,
      },
      { task: 2, runs: [{ ...RETURNS, ms: 3 }], queueTimeout: 0 },
    ],
    [
      ...[at(1, add(0)), advance(1000), at(1, { do: 'cancel', job: 34, by: 'handle' })],
      ...[at(0, { do: 'cancel', job: 10, by: 'signal' }), at(0, { do: 'many', specs: [1, 0] })],
      { do: 'freeze', process: 1, ms: 7000 },
    ],
    { seed: 1_379_704_514, force: true, ageing: 0 },
  ),
  'a held job runs in the end when its process died before the store heard that its response had failed':
    plan(
      [
        { runs: [{ ...RETURNS, adds: 0 }], unique: 'u' },
        { key: 'a', uniqueFor: 20 },
      ],
      [
        ...[at(0, add(0)), at(0, add(0)), at(0, add(0)), at(0, batch(0)), at(0, batch(0)), at(0, add(0))],
        ...[at(0, batch(1)), advance(5), at(0, { do: 'settle', batch: 0, end: 'error' })],
        { do: 'kill', process: 0, after: 0, downtime: 0 },
      ],
    ),
  'a batch keeps its order when a listener adds to it while it lets its jobs go': plan(
    [{ delay: 0, uniqueFor: 20, when: 'always' }, { signal: true }],
    [
      ...[at(0, batch(1)), at(0, batch(0)), at(0, { do: 'react', on: 'job:skipped', does: batch(0) })],
      ...[at(0, { do: 'settle', batch: 0, end: 'status 500' }), at(0, add(0))],
    ],
  ),
  'a held job with a delay waits for it when its process stops before its response is over': plan(
    [
      ...[{ key: 'a', queueTimeout: 0, when: 'always' } as const, {}, { delay: 80 }, {}],
      { unique: 'u', maxAttempts: 1, when: 'always' },
      { task: URGENT, runs: [{ ...RETURNS, adds: 0 }], timeout: 5 },
    ],
    [
      ...[advance(100), at(0, batch(0)), at(1, { do: 'cancel', job: 0, by: 'handle' })],
      ...[
        at(1, { do: 'many', specs: [0, 5, 4, 0] }),
        at(1, batch(2)),
        { do: 'freeze', process: 0, ms: 30 } as const,
      ],
      at(1, { do: 'react', on: 'thread:exited', does: { do: 'revive', job: 0 } }),
      ...[advance(2500), at(1, { do: 'stop', timeout: 0 }), advance(20), at(1, settle), advance(0)],
    ],
    { threads: 3 },
  ),
  'a retry waits for its time in a process that stood still while it asked the store for the time': plan(
    [{ runs: [{ ...RETURNS, ends: 'exits' }, RETURNS] }, { task: IO, runs: [{ ...RETURNS, ends: 'dies' }] }],
    [
      ...[at(0, batch(1)), advance(1), at(0, add(0)), at(1, add(1)), at(1, add(0))],
      ...[{ do: 'freeze', process: 1, ms: 1500 } as const, { do: 'freeze', process: 0, ms: 400 } as const],
      at(0, add(0)),
    ],
    { seed: 12, threads: 2 },
  ),
  'a job of a batch waits for the first one when the one behind that was skipped as it was added': plan(
    [{ task: SINGLE }, { key: 'a', unique: 'u', runs: [{ ...RETURNS, adds: 0 }] }, {}, { when: 'error' }],
    [
      ...[at(0, batch(2)), at(0, add(1)), advance(5), at(0, settle)],
      ...[at(0, batch(3)), at(0, batch(0)), at(0, add(0))],
    ],
  ),
  'a job runs in time whose process lost its connection as it asked the store for the time': plan(
    [{ unique: 'u' }, { delay: 80, maxAttempts: 1 }],
    [
      { do: 'kill', process: 0, after: 6, downtime: 500 },
      ...[at(3, add(1)), { do: 'cut', process: 3, ms: 0 } as const, at(0, add(0))],
    ],
    { seed: 21, processes: 4 },
  ),
  'the second job of a batch ends when the connection broke at the start and the first one is cancelled':
    plan(
      [{ delay: 0, priority: 1, timeout: 5, when: 'always' }],
      [
        ...[advance(0.3), at(0, batch(0)), { do: 'cut', process: 0, ms: 0 } as const, at(0, batch(0))],
        at(0, { do: 'cancel', job: 0, by: 'handle' }),
      ],
      { seed: 979_930_300 },
    ),
  'a job of a batch need not wait until the store has heard that its response skips the one before': plan(
    [
      { runs: [{ ...RETURNS, ends: 'gives up', ms: 60 }], when: 'always' },
      { task: IO, delay: 80, queueTimeout: 0 },
      { when: 'error', signal: true },
    ],
    [
      ...[advance(1000), at(1, { do: 'many', specs: [0, 0, 2, 0, 0] }), at(1, batch(1)), at(1, batch(2))],
      ...[at(0, add(1)), at(1, batch(0)), advance(100)],
      ...[advance(20), at(1, { do: 'unschedule', id: 's' })],
    ],
    { seed: 1_917_033_289 },
  ),
  'a job that a batch shares with another call stops the batch as it dies': plan(
    [
      { key: 'a' },
      { delay: 0, key: 'a', unique: 'u' },
      { runs: [{ ...RETURNS, ends: 'exits' }], unique: 'u', when: 'always' },
    ],
    [
      ...[at(0, { do: 'open', parallel: false, stops: true }), at(0, add(2)), at(0, batch(1))],
      ...[at(0, batch(0)), advance(100)],
    ],
  ),
  'a process that stood still tells in time that the store refuses its writes': plan(
    [{ uniqueFor: 20, when: 'always' }],
    [
      ...[advance(2500), at(0, add(0)), { do: 'freeze', process: 0, ms: 1500 } as const],
      { do: 'store', what: 'refuses writes', ms: 7000 },
      ...[advance(1000), advance(1000), advance(1000), at(0, batch(0))],
    ],
  ),
  'a schedule that comes to the store only after a stop can be taken away': plan(
    [{ key: 'b', runs: [{ ...RETURNS, ms: 5000 }] }],
    [
      ...[{ do: 'store', what: 'restarts', ms: 3000 } as const, advance(1000)],
      at(0, { do: 'schedule', id: 's', spec: 0, every: 400, missed: 'skip' }),
      ...[advance(20), { do: 'store', what: 'forgets leases', ms: 400 } as const],
      at(0, { do: 'stop', timeout: Number.POSITIVE_INFINITY }),
    ],
  ),
  'a job that is cancelled on its way back to the store is counted as over once': plan(
    [{ parallel: false }, { runs: [{ ...RETURNS, ms: 5000 }, RETURNS], key: 'a' }],
    [
      ...[at(1, add(1)), at(0, { do: 'pause', pool: null }), advance(100), at(0, add(0)), at(2, add(0))],
      ...[{ do: 'store', what: 'hangs', ms: 3000 } as const, advance(2500)],
      at(0, { do: 'cancel', job: 0, by: 'handle' }),
    ],
    { seed: 1_736_562_096, threads: 3 },
  ),
}

describe('among several processes', () => {
  test.each(Object.entries(plans))('%s', async (_name, failed) => {
    expect((await simulateCluster(failed)) ?? 'no fault').toBe('no fault')
  })
})
