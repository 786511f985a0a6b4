/** Sequences that once broke a promise of the journal, as the simulation found and shrunk them. */
import { describe, expect, test } from 'vitest'
import type { Behaviour, Op, Plan, Spec } from '../plan.ts'
import { simulateDurable } from '../simulate.ts'

const world: Plan['world'] = {
  seed: 0,
  threads: 1,
  maxPending: 1000,
  ageing: 1000,
  retention: 1000,
  force: false,
  stillborn: 0,
  window: 4096,
}
const returns: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'throws' }
const after = (ms: number): Behaviour => ({ ...returns, ms })
const plain = (spec: Partial<Spec> = {}): Spec => ({ task: 0, runs: [returns], ...spec })
const FRAGILE = 7
const HASTY = 8
const HELD_NAME = 10
const IO = 11
const IO_TIMED = 12

interface Sequence {
  readonly name: string
  readonly specs: readonly Spec[]
  readonly ops: readonly Op[]
  readonly options?: Partial<Plan['world']>
}

const sequences: readonly Sequence[] = [
  {
    name: 'a response is over before its job is said to be stored',
    specs: [plain({ timeout: 5 })],
    options: { seed: 73_120_380, stillborn: 1 },
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 5 },
    ],
  },
  {
    name: 'a job is cancelled behind the last message to the journal',
    specs: [plain({ when: 'always' })],
    ops: [
      { do: 'advance', ms: 1000 },
      { do: 'many', specs: [0] },
      { do: 'crash', after: 2, downtime: 0 },
      { do: 'stop', timeout: 0 },
      { do: 'cancel', job: 0, by: 'handle' },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a handle that has not heard of the end of its job cancels it',
    specs: [plain({ delay: 0, key: 'a' }), plain({ runs: [{ ...returns, ends: 'dies' }], maxAttempts: 1 })],
    ops: [
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'cancel', job: 0, by: 'handle' },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'a process dies between the word of a queueTimeout and its end',
    specs: [plain({ key: 'a', queueTimeout: 0, when: 'always' }), plain()],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'crash', after: 18, downtime: 5000 },
      { do: 'crash', after: 6, downtime: 0 },
      { do: 'add', spec: 1 },
    ],
  },
  {
    name: 'a key that is unique for a time is free before its job is over',
    specs: [{ task: HELD_NAME, runs: [after(300)] }],
    ops: [
      { do: 'many', specs: [0] },
      { do: 'advance', ms: 100 },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'jobs are added and the runtime stops while the journal comes up again',
    specs: [plain({ runAt: -50, when: 'always' })],
    ops: [
      { do: 'advance', ms: 1000 },
      { do: 'journal dies', when: 'now' },
      { do: 'add', spec: 0 },
      { do: 'many', specs: [0] },
      { do: 'stop', timeout: 0 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a job is added that equals one of the process before, while the file is not open',
    specs: [plain({ runAt: -50, unique: 'u', queueTimeout: 0 })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 5 },
      { do: 'crash', after: 0, downtime: 0 },
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'jobs end in the journal itself, and none that are over are kept',
    specs: [plain({ queueTimeout: 0 })],
    options: { retention: 0 },
    ops: [
      { do: 'open', parallel: false, stops: true },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'a job is revived twice in a turn',
    specs: [plain({ runs: [{ ...returns, ends: 'throws' }] })],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'revive', job: 0 },
      { do: 'revive', job: 0 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'an equal job is added while one that was revived waits',
    specs: [plain({ unique: 'u', queueTimeout: 0 })],
    ops: [
      { do: 'pause', pool: null },
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'revive', job: 0 },
      { do: 'advance', ms: 20 },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'a job is cancelled by its id while its retry is being written',
    specs: [plain(), plain({ runs: [{ ...returns, ends: 'dies' }, returns], signal: true })],
    ops: [
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'crash', after: 10, downtime: 0 },
      { do: 'react', on: 'thread:exited', does: { do: 'cancel', job: 0, by: 'handle' } },
      { do: 'advance', ms: 1000 },
    ],
  },
  {
    name: 'a process dies with a scheduled job, whose unique key outlives it',
    specs: [{ task: 7, runs: [after(300), returns] }],
    ops: [
      { do: 'schedule', id: 's', spec: 0, every: 40, missed: 'once' },
      { do: 'advance', ms: 1000 },
      { do: 'crash', after: 0, downtime: 0 },
    ],
  },
  {
    name: 'the journal dies with retries that are not written',
    specs: [plain({ runs: [{ ...returns, ends: 'exits' }], key: 'a', unique: 'u', maxAttempts: 1 })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'crash', after: 10, downtime: 0 },
      { do: 'advance', ms: 5 },
      { do: 'journal dies', when: 'now' },
    ],
  },
  {
    name: 'the journal dies with a commit that adds and ends a job of a key, and is not told of',
    specs: [plain({ runAt: 100 }), plain({ priority: 1, key: 'a' })],
    ops: [
      { do: 'many', specs: [0] },
      { do: 'advance', ms: 1000 },
      { do: 'many', specs: [1] },
      { do: 'journal dies', when: 'untold' },
      { do: 'cancel', job: 0, by: 'handle' },
      { do: 'advance', ms: 0 },
      { do: 'many', specs: [1] },
    ],
  },
  {
    name: 'the journal dies with a commit that fills its window, and is not told of',
    specs: [plain({ runs: [after(5000)] }), { task: 9, runs: [returns] }],
    options: { window: 1 },
    ops: [
      { do: 'advance', ms: 1000 },
      { do: 'journal dies', when: 'untold' },
      { do: 'many', specs: [0, 1] },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'the journal dies with a retry that is due when it comes up again, and is not told of',
    specs: [plain({ when: 'always' }), { task: HELD_NAME, runs: [after(5000), returns] }],
    options: { threads: 3 },
    ops: [
      { do: 'advance', ms: 20 },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 1000 },
      { do: 'journal dies', when: 'untold' },
      { do: 'thread dies', lane: 0 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'the journal dies while the runtime stops',
    specs: [plain({ priority: 1, queueTimeout: 0 })],
    options: { seed: 1_565_578_014 },
    ops: [
      { do: 'advance', ms: 20 },
      { do: 'add', spec: 0 },
      { do: 'stop', timeout: 0 },
      { do: 'journal dies', when: 'untold' },
    ],
  },
  {
    name: 'the last attempt before a stop returns what its schema refuses',
    specs: [{ task: 6, runs: [{ ...after(300), ends: 'returns rubbish' }, returns] }],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'stop', timeout: Number.POSITIVE_INFINITY },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'a schedule has room for some of the runs that it missed',
    specs: [plain({ when: 'always' })],
    options: { maxPending: 3, retention: 0 },
    ops: [
      { do: 'schedule', id: 's', spec: 0, every: 40, missed: 'all' },
      { do: 'advance', ms: 1000 },
      { do: 'stop', timeout: 0 },
      { do: 'advance', ms: 1100 },
      { do: 'stop', timeout: 0 },
      { do: 'advance', ms: 100 },
    ],
  },
  {
    name: 'a queueTimeout falls due behind another job on a thread',
    specs: [
      plain({ queueTimeout: 0 }),
      plain({ priority: 1, queueTimeout: 0 }),
      plain({ runs: [after(300)] }),
    ],
    ops: [
      { do: 'add', spec: 1 },
      { do: 'many', specs: [2, 0] },
      { do: 'pause', pool: null },
    ],
  },
  {
    name: 'a job is added behind one of its batch that has waited too long',
    specs: [plain({ queueTimeout: 0 }), plain({ runAt: -50, key: 'a', timeout: 5 })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'pause', pool: null },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'resume', pool: null },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'its thread dies twice while the runtime stops, and a job is cancelled in between',
    specs: [plain({ when: 'always' })],
    options: { seed: 4, threads: 2, stillborn: 4 },
    ops: [
      { do: 'crash', after: 3, downtime: 0 },
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 20 },
      { do: 'journal dies', when: 'now' },
      { do: 'add', spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'stop', timeout: 0 },
      { do: 'schedule', id: 's', spec: 0, every: 40, missed: 'once' },
      { do: 'advance', ms: 25 },
      { do: 'journal dies', when: 'untold' },
      { do: 'cancel', job: 1, by: 'handle' },
      { do: 'batch', batch: 0, spec: 0 },
    ],
  },
  {
    name: 'a job is revived that ended as its equal did, before the process dies',
    specs: [
      {
        task: 14,
        runs: [{ ...returns, ends: 'exits', adds: 0 }],
        delay: 0,
        unique: 'u',
        maxAttempts: 1,
        when: 'always',
      },
    ],
    options: { stillborn: 4 },
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'crash', after: 0, downtime: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 120 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'advance', ms: 100 },
      { do: 'revive', job: 13 },
      { do: 'crash', after: 5, downtime: 0 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a job is revived whose response is still open',
    specs: [plain({ queueTimeout: 10 })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'revive', job: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'settle', batch: 0, end: 'sent' },
    ],
  },
  {
    name: 'a process dies with a held job that has a delay',
    specs: [plain({ delay: 80 })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'crash', after: 0, downtime: 0 },
      { do: 'advance', ms: 1000 },
    ],
  },
  {
    name: 'a job is revived that died before it was due',
    specs: [plain({ runAt: 5000, queueTimeout: 10 })],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'revive', job: 0 },
      { do: 'advance', ms: 1000 },
    ],
  },
  {
    name: 'a handle cancels a job that a listener has cancelled in the same millisecond',
    specs: [
      { task: 0, runs: [{ ...returns, blocks: true }], uniqueFor: 20 },
      { task: 1, runs: [{ ...returns, ends: 'exits', blocks: true }] },
      { task: 5, runs: [{ ...returns, ends: 'returns much' }, returns], uniqueFor: 20 },
    ],
    options: { seed: 828_729_147, threads: 3, stillborn: 1 },
    ops: [
      { do: 'advance', ms: 5 },
      { do: 'many', specs: [0, 2] },
      { do: 'add', spec: 0 },
      { do: 'add', spec: 2 },
      { do: 'advance', ms: 20 },
      { do: 'advance', ms: 1 },
      { do: 'react', on: 'job:dead', does: { do: 'cancel', job: 0, by: 'handle' } },
      { do: 'add', spec: 0 },
      { do: 'cancel', job: 21, by: 'handle' },
      { do: 'thread dies', lane: 0 },
      { do: 'add', spec: 1 },
      { do: 'add', spec: 0 },
      { do: 'many', specs: [1] },
      { do: 'advance', ms: 20 },
      { do: 'cancel', job: 47, by: 'handle' },
      { do: 'many', specs: [] },
    ],
  },
  {
    name: 'it dies with a commit in which it has ended an equal job itself, and is not told of',
    specs: [
      plain({ when: 'always', runs: [after(3)] }),
      { task: 2, runs: [after(3), { ...after(300), onAbort: 'ignores', adds: 0 }], unique: 'u' },
    ],
    ops: [
      { do: 'advance', ms: 20 },
      { do: 'add', spec: 1 },
      { do: 'crash', after: 2, downtime: 0 },
      { do: 'many', specs: [1] },
      { do: 'advance', ms: 5 },
      { do: 'journal dies', when: 'untold' },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'it dies with a commit in which it has skipped the rest of a batch, and is not told of',
    specs: [plain({ runs: [{ ...returns, ms: 3, ends: 'gives up' }] })],
    ops: [
      { do: 'advance', ms: 20 },
      { do: 'open', parallel: false, stops: true },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'advance', ms: 5 },
      { do: 'journal dies', when: 'untold' },
      { do: 'advance', ms: 20 },
    ],
  },
  {
    name: 'a job is added behind one of its open batch that was revived, and that one is cancelled',
    specs: [plain(), plain({ unique: 'u', uniqueFor: 20, timeout: 5, queueTimeout: 0, when: 'always' })],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'advance', ms: 100 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'thread dies', lane: 37 },
      { do: 'advance', ms: 5 },
      { do: 'revive', job: 0 },
      { do: 'advance', ms: 5 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'cancel', job: 16, by: 'handle' },
      { do: 'revive', job: 0 },
    ],
  },
  {
    name: 'it dies while the runtime stops, and a handle cancels a job that has completed',
    specs: [
      plain({ runs: [{ ...after(300), ends: 'strays' }], delay: 0, parallel: false }),
      { task: 2, runs: [after(60), { ...returns, adds: 0 }], key: 'a', queueTimeout: 0 },
    ],
    options: { seed: 76_414 },
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'crash', after: 0, downtime: 0 },
      { do: 'add', spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'many', specs: [1] },
      { do: 'advance', ms: 1000 },
      { do: 'stop', timeout: 0 },
      { do: 'journal dies', when: 'untold' },
      { do: 'cancel', job: 62, by: 'handle' },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'it dies untold with the end of a job that a handle cancels during its retry',
    specs: [plain({ priority: 1 }), { task: IO_TIMED, runs: [after(5000), returns], when: 'always' }],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'cancel', job: 0, by: 'handle' },
      { do: 'journal dies', when: 'untold' },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'a key is free within milliseconds, and a job that takes it is added before the journal is open',
    specs: [
      plain({ key: 'a', unique: 'u' }),
      plain({ unique: 'u', uniqueFor: 200, queueTimeout: 60 }),
      plain({ signal: true }),
      plain({ runs: [after(10)], key: 'a', when: 'always', signal: true }),
    ],
    ops: [
      { do: 'add', spec: 1 },
      { do: 'add', spec: 2 },
      { do: 'advance', ms: 20 },
      { do: 'advance', ms: 100 },
      { do: 'many', specs: [2] },
      { do: 'crash', after: 0, downtime: 30 },
      { do: 'add', spec: 3 },
      { do: 'crash', after: 18, downtime: 30 },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 100 },
      { do: 'many', specs: [0] },
      { do: 'schedule', id: 's', spec: 0, every: 40, missed: 'once' },
    ],
  },
  {
    name: 'a handler asks for a job that was added before it was open and whose response is open',
    specs: [
      { task: HELD_NAME, runs: [returns] },
      { task: FRAGILE, runs: [{ ...after(3), adds: 3 }] },
    ],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'add', spec: 1 },
      { do: 'advance', ms: 1000 },
    ],
  },
  {
    name: 'it dies untold with a revival, and the job is cancelled by its id while its retry is yet to be written',
    specs: [
      plain({ priority: 1, key: 'a', queueTimeout: 60, maxAttempts: 1 }),
      plain({ delay: 0, when: 'always' }),
      { task: 11, runs: [returns], uniqueFor: 20, signal: true },
      plain({ runs: [{ ...returns, ends: 'exits' }, returns], queueTimeout: 0, when: 'always' }),
      plain({ runs: [after(5000)] }),
    ],
    options: { seed: 739_822_663, threads: 2 },
    ops: [
      { do: 'many', specs: [0, 1, 2, 3] },
      { do: 'crash', after: 14, downtime: 0 },
      { do: 'batch', batch: 0, spec: 4 },
      { do: 'crash', after: 15, downtime: 0 },
      { do: 'react', on: 'thread:exited', does: { do: 'cancel', job: 31, by: 'handle' } },
      { do: 'advance', ms: 5 },
      { do: 'revive', job: 0 },
      { do: 'journal dies', when: 'untold' },
      { do: 'advance', ms: 20 },
      { do: 'advance', ms: 20 },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'a job dies as the equal one that it waited for, is revived, and an equal one is added',
    specs: [plain({ runs: [after(5000)], unique: 'u', maxAttempts: 1, when: 'always', signal: true })],
    ops: [
      { do: 'add', spec: 0 },
      { do: 'advance', ms: 5 },
      { do: 'crash', after: 2, downtime: 0 },
      { do: 'crash', after: 5, downtime: 0 },
      { do: 'many', specs: [0] },
      { do: 'crash', after: 10, downtime: 0 },
      { do: 'advance', ms: 100 },
      { do: 'revive', job: 3 },
      { do: 'crash', after: 9, downtime: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'add', spec: 0 },
    ],
  },
  {
    name: 'a job dies on disk behind another of its batch, is revived, and the next one is added meanwhile',
    specs: [plain({ runs: [after(5000), returns] }), { task: HASTY, runs: [returns] }],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'advance', ms: 20 },
      { do: 'advance', ms: 20 },
      { do: 'revive', job: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'cancel', job: 0, by: 'handle' },
    ],
  },
  {
    name: 'a job dies on disk behind another of its batch, is revived, and the next one is added when it has ended',
    specs: [
      { task: IO, runs: [after(5000), returns] },
      { task: HASTY, runs: [returns] },
    ],
    ops: [
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'add', spec: 0 },
      { do: 'batch', batch: 0, spec: 1 },
      { do: 'settle', batch: 0, end: 'sent' },
      { do: 'advance', ms: 20 },
      { do: 'advance', ms: 20 },
      { do: 'revive', job: 0 },
      { do: 'advance', ms: 1000 },
      { do: 'add', spec: 0 },
      { do: 'batch', batch: 0, spec: 0 },
      { do: 'cancel', job: 0, by: 'handle' },
    ],
  },
  {
    name: 'it dies with the end of a run of a schedule, which is cancelled before it ran',
    specs: [plain({ unique: 'u' })],
    options: { seed: 976_928_072 },
    ops: [
      { do: 'schedule', id: 's', spec: 0, every: 40, missed: 'once' },
      { do: 'advance', ms: 20 },
      { do: 'react', on: 'job:enqueued', does: { do: 'cancel', job: 0, by: 'handle' } },
      { do: 'crash', after: 5, downtime: 0 },
      { do: 'cancel', job: 0, by: 'handle' },
      { do: 'advance', ms: 100 },
      { do: 'advance', ms: 0 },
    ],
  },
  {
    name: 'somebody sets the clock, it stops, and the next process dies with a job that is due',
    specs: [plain({ unique: 'u' }), plain({ runAt: -50 })],
    ops: [
      { do: 'wall', ms: 1000 },
      { do: 'stop', timeout: 0 },
      { do: 'advance', ms: 100 },
      { do: 'many', specs: [1] },
      { do: 'crash', after: 5, downtime: 0 },
      { do: 'advance', ms: 0 },
    ],
  },
]

describe('a journal keeps its promises when', () => {
  test.each(sequences)('$name', async ({ specs, ops, options = {} }) => {
    // The seed decides how long messages travel.
    for (const seed of [options.seed ?? 0, 1, 2, 3, 4, 5, 6, 7]) {
      const plan = { world: { ...world, ...options, seed }, specs, ops }
      expect(await simulateDurable(plan)).toBeUndefined()
    }
  })
})
