/** Sequences that once broke a rule, as the simulation found and shrunk them. */
import { describe, expect, test } from 'vitest'
import type { Behaviour, Op, Plan, Spec } from './plan.ts'
import { simulate } from './simulate.ts'

const world: Plan['world'] = {
  seed: 0,
  threads: 1,
  maxPending: 1000,
  ageing: 1000,
  retention: 1000,
  force: false,
  stillborn: 0,
}
const HELD_NAME = 10
const returns: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'throws' }
const after = (ms: number): Behaviour => ({ ...returns, ms })
const plain = (spec: Partial<Spec> = {}): Spec => ({ task: 0, runs: [returns], ...spec })
/** Each call for this one has a signal; once the last has aborted it takes a while to end. */
const SHARED = plain({ runs: [{ ...after(5000), onAbort: 'ignores' }], unique: 'u', signal: true })

const sequences: readonly { name: string; specs: readonly Spec[]; ops: readonly Op[]; threads?: number }[] = [
  {
    name: 'settled of a job that was revived tells of its new end',
    specs: [plain({ queueTimeout: 0 })],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 20 },
      { do: 'revive', job: 0 },
      { do: 'cancel', job: 0, by: 'handle' },
    ],
  },
  {
    name: 'a result schema that throws is a failure of the attempt',
    specs: [{ task: 6, runs: [{ ...returns, ends: 'returns poison' }, returns] }],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 100 },
    ],
  },
  {
    name: 'a job added in a listener gets a number of its own, and no room of others',
    specs: [plain()],
    ops: [
      { do: 'react', on: 'job:enqueued', does: { do: 'add', spec: 0 } },
      { do: 'many', specs: [0, 0] },
    ],
  },
  {
    name: 'a job waits for those before it in its batch, also when the one in between is cancelled',
    specs: [plain({ runs: [after(60)] })],
    threads: 3,
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'advance', ms: 20 },
      { do: 'cancel', job: 1, by: 'handle' },
      { do: 'advance', ms: 20 },
    ],
  },
  {
    name: 'a job that is skipped does not let the next of its batch overtake',
    specs: [plain({ runs: [after(60)] }), plain({ when: 'error' })],
    threads: 3,
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'advance', ms: 20 },
    ],
  },
  {
    name: 'a job that died in the line of its key and was revived cuts nobody off',
    specs: [plain({ key: 'a', runs: [after(60)] }), plain({ key: 'a', queueTimeout: 10 })],
    ops: [
      { do: 'many', specs: [0, 1, 0] },
      { do: 'advance', ms: 20 },
      { do: 'revive', job: 0 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a listener that settles the batch of the job it heard of does not disturb the line of a key',
    specs: [plain(), { task: 5, runs: [returns], delay: 0 }],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'react', on: 'job:cancelled', does: { do: 'settle', batch: 0, end: 'sent' } },
      { do: 'add', spec: 1 },
      { do: 'cancel', job: 1, by: 'handle' },
    ],
  },
  {
    name: 'a timeout holds for a job that starts late',
    specs: [plain({ runs: [after(5000)], timeout: 5 })],
    ops: [
      { do: 'advance', ms: 100 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a job whose queueTimeout passed behind a slow one is not sent again',
    specs: [plain({ runs: [after(5000)] }), plain({ queueTimeout: 0 })],
    threads: 2,
    ops: [
      { do: 'react', on: 'job:dead', does: { do: 'revive', job: 0 } },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'add', spec: 0 },
      { do: 'many', specs: [1] },
    ],
  },
  {
    name: 'nothing starts past the deadline of a stop, also when somebody resumes',
    specs: [plain(), { task: 11, runs: [{ ...after(5000), onAbort: 'ignores' }], key: 'a' }],
    ops: [
      { do: 'many', specs: [1] },
      { do: 'advance', ms: 1000 },
      { do: 'stop', timeout: 0 },
      { do: 'advance', ms: 5 },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'a job that was revived does not hold up those behind its old place',
    specs: [plain(), plain({ priority: 1 }), { task: 8, runs: [returns], delay: 0 }],
    ops: [
      { do: 'pause', pool: null },
      { do: 'add', spec: 2 },
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 1100 },
      { do: 'revive', job: 0 },
      { do: 'add', spec: 1 },
    ],
  },
  {
    name: 'a thread of many jobs is filled also behind a job that travels alone',
    specs: [
      { task: 12, runs: [{ ...after(60), ends: 'dies' }, returns] },
      { task: 11, runs: [after(300)] },
    ],
    ops: [
      { do: 'many', specs: [0, 0, 0, 1, 1] },
      { do: 'advance', ms: 60 },
      { do: 'advance', ms: 100 },
      { do: 'advance', ms: 100 },
    ],
  },
  {
    name: 'a job that a listener cancels while others are taken back is left alone',
    specs: [plain({ queueTimeout: 0 }), plain({ runs: [after(60)], queueTimeout: 0 })],
    ops: [
      { do: 'react', on: 'job:dead', does: { do: 'cancel', job: 1, by: 'handle' } },
      { do: 'advance', ms: 20 },
      { do: 'many', specs: [1, 0, 0] },
      { do: 'advance', ms: 100 },
    ],
  },
  {
    name: 'the first of two jobs of a key, which one response lets go, is shared with another batch',
    specs: [plain({ key: 'b', unique: 'u' }), plain({ priority: 1, key: 'b' })],
    ops: [
      { do: 'open', parallel: true, stops: false },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'open', parallel: false, stops: false },
      { do: 'batch', batch: 1, spec: 0 },
      { do: 'settle', batch: 0, end: 'sent' },
    ],
  },
  {
    name: 'a job that was revived is shared, and does not hold up those behind its old place',
    specs: [plain({ key: 'a' }), plain({ delay: 0, unique: 'u', timeout: 5, queueTimeout: 0, signal: true })],
    ops: [
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'revive', job: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'many', specs: [0] },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'a batch stops at a dead job, and the second call for the one behind it was taken back',
    specs: [
      plain(),
      plain({ key: 'a', unique: 'u', signal: true }),
      plain({ runs: [{ ...after(0), ends: 'throws' }], delay: 0, priority: 1, when: 'always' }),
    ],
    ops: [
      { do: 'react', on: 'job:cancelled', does: { do: 'settle', batch: 0, end: 'sent' } },
      { do: 'open', parallel: false, stops: false },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'open', parallel: false, stops: true },
      { do: 'batch', batch: 1, spec: 2 },
      { do: 'cancel', job: 0, by: 'handle' },
      { do: 'batch', batch: 1, spec: 1 },
      { do: 'add', spec: 1 },
      { do: 'cancel', job: 9, by: 'signal' },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'the queueTimeout of a job passes while it is with a thread, and it comes back unstarted',
    specs: [{ task: 8, runs: [returns] }, plain({ runs: [after(10)] }), { task: 5, runs: [after(60)] }],
    ops: [
      { do: 'many', specs: [0] },
      { do: 'advance', ms: 0.3 },
      { do: 'advance', ms: 100 },
      { do: 'add', spec: 1 },
      { do: 'add', spec: 2 },
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'the queueTimeout of a job with a delay passes while it is with a thread, and it comes back unstarted',
    specs: [
      plain({ runs: [after(3)], timeout: 5 }),
      { task: 8, runs: [returns], delay: 0, maxAttempts: 1 },
      plain({ runs: [after(300)], uniqueFor: 20, when: 'always' }),
    ],
    ops: [
      { do: 'pause', pool: null },
      { do: 'add', spec: 0 },
      { do: 'many', specs: [2, 0, 2] },
      { do: 'react', on: 'job:enqueued', does: { do: 'cancel', job: 41, by: 'handle' } },
      { do: 'advance', ms: 100 },
      { do: 'advance', ms: 0.3 },
      { do: 'many', specs: [1] },
      { do: 'pause', pool: null },
    ],
  },
  {
    name: 'a response refuses a job that another call asks for, whose signal aborts before the next one is added',
    specs: [plain({ when: 'always' }), SHARED],
    threads: 3,
    ops: [
      { do: 'open', parallel: false, stops: false },
      { do: 'settle', batch: 0, end: 'error' },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'cancel', job: 0, by: 'signal' },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 20 },
    ],
  },
  {
    name: 'a response refuses a job that another call asks for, whose signal aborts before its turn in the batch',
    specs: [plain({ when: 'always' }), SHARED, plain({ runs: [after(30)], when: 'always' })],
    threads: 3,
    ops: [
      { do: 'open', parallel: false, stops: false },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'batch', batch: 0, spec: 2 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'settle', batch: 0, end: 'error' },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 20 },
      { do: 'cancel', job: 0, by: 'signal' },
      { do: 'advance', ms: 5 },
      { do: 'advance', ms: 10 },
      { do: 'advance', ms: 10 },
      { do: 'advance', ms: 10 },
      { do: 'advance', ms: 20 },
    ],
  },
  {
    name: 'a response refuses a job whose calls were all taken back before',
    specs: [plain({ when: 'always' }), SHARED],
    threads: 3,
    ops: [
      { do: 'open', parallel: false, stops: false },
      { do: 'settle', batch: 0, end: 'error' },
      { do: 'add', spec: 1 },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'cancel', job: 0, by: 'signal' },
      { do: 'cancel', job: 1, by: 'signal' },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 20 },
    ],
  },
  {
    name: 'a response refuses two jobs, and a listener of the first adds an equal of the second',
    specs: [plain({ key: 'a' }), plain({ key: 'a', unique: 'u' }), plain({ delay: 0, when: 'always' })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'react', on: 'job:skipped', does: { do: 'add', spec: 1 } },
      { do: 'settle', batch: 0, end: 'error' },
      { do: 'batch', batch: 0, spec: 2 },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'a response refuses two jobs, a listener adds an equal of the second, and another call finds that',
    specs: [plain({ runs: [after(5000), returns], unique: 'u' }), plain({ when: 'always' }), plain()],
    ops: [
      { do: 'batch', batch: 0, spec: 2 },
      { do: 'react', on: 'job:skipped', does: { do: 'add', spec: 0 } },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'settle', batch: 0, end: 'error' },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a response ends in a listener, and a listener of its first job, which it refuses, adds an equal of the second',
    specs: [
      { task: HELD_NAME, runs: [returns] },
      plain({ timeout: 5, queueTimeout: 0, when: 'always' }),
      plain({ when: 'error' }),
    ],
    ops: [
      { do: 'react', on: 'job:skipped', does: { do: 'add', spec: 0 } },
      { do: 'react', on: 'job:dead', does: { do: 'settle', batch: 0, end: 'sent' } },
      { do: 'batch', batch: 0, spec: 2 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'advance', ms: 1000 },
    ],
  },
]

describe('the engine keeps its rules when', () => {
  test.each(sequences)('$name', async ({ specs, ops, threads = 1 }) => {
    // The seed decides how long messages travel.
    for (let seed = 0; seed < 40; seed++) {
      const options = { ...world, seed, threads }
      expect(await simulate({ world: options, specs, ops })).toBeUndefined()
      expect(await simulate({ world: { ...options, force: true }, specs, ops })).toBeUndefined()
    }
  })
})
