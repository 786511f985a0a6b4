/** Whether a fetched job may run, by what is known of it. */
import { describe, expect, test } from 'vitest'
import { type Candidate, type Decision, decide } from '../../../../src/brokers/bullmq/consumer/admission.ts'
import { BATCH_FAILED } from '../../../../src/rules/journal-protocol.ts'

const WALL = 1_000_000

const plain: Candidate = {
  task: { name: 'mail', policy: { onCrash: 'retry', maxCrashes: 3 } },
  data: { a: WALL - 500 },
  line: undefined,
  place: undefined,
  admitted: 0,
  attempts: 0,
  crashes: 0,
  stalls: 0,
  hasCrashed: false,
}

function decided(candidate: Partial<Candidate>): Decision {
  return decide({ ...plain, ...candidate }, WALL)
}

describe('a job that was fetched', () => {
  test('runs at once, with nothing to write before, when nothing is known against it', () => {
    expect(decided({})).toEqual({ do: 'run', isSuspect: false, recordStart: false })
  })

  test('ends by its queue timeout before its first attempt, and never after it', () => {
    const data = { a: WALL - 500, q: WALL - 1 }
    expect(decided({ data })).toMatchObject({
      do: 'end',
      ended: { state: 'dead', error: { code: 'ERR_QUEUE_TIMEOUT' } },
    })
    expect(decided({ data, attempts: 1 })).toMatchObject({ do: 'run' })
    expect(decided({ data: { ...data, q: WALL } })).toMatchObject({ do: 'run' })
  })

  test('has to be first in the lock of its batch and in that of its key, and then runs', () => {
    const job = { line: 'b:1', data: { a: WALL, key: 'ada' } }
    expect(decided(job)).toEqual({ do: 'admit', locks: ['b:1', 'k:ada'] })
    expect(decided({ ...job, line: undefined })).toEqual({ do: 'admit', locks: ['k:ada'] })
    expect(decided({ ...job, place: 'first', admitted: 2 })).toMatchObject({ do: 'run' })
  })

  test('is skipped when a job of its batch has stopped the rest', () => {
    expect(decided({ line: 'b:1', place: 'stopped' })).toEqual({
      do: 'end',
      ended: { state: 'skipped', reason: BATCH_FAILED },
    })
  })

  test('waits for its time, without a place in the lock of its key, when the job before it of its batch has called it too early', () => {
    const job = { line: 'b:1', data: { a: WALL, d: WALL + 40, key: 'ada' } }
    expect(decided(job)).toEqual({ do: 'admit', locks: ['b:1'] })
    expect(decided({ ...job, place: 'first', admitted: 1 })).toEqual({ do: 'postpone', delay: 40 })
    expect(decided({ ...job, attempts: 1, place: 'first', admitted: 2 })).toMatchObject({ do: 'run' })
  })

  test('joins the lock of its key when its time has come while it was taken to that of its batch', () => {
    const job = { line: 'b:1', data: { a: WALL, d: WALL, key: 'ada' } }
    expect(decided({ ...job, place: 'first', admitted: 1 })).toEqual({ do: 'admit', locks: ['b:1', 'k:ada'] })
  })

  test('has its start recorded before it runs when it is a suspect, or when a crash is its end', () => {
    const suspect = { do: 'run', isSuspect: true, recordStart: true }
    expect(decided({ stalls: 1 })).toEqual(suspect)
    expect(decided({ crashes: 1 })).toEqual(suspect)
    const task = { name: 'mail', policy: { onCrash: 'fail', maxCrashes: 3 } } as const
    expect(decided({ task })).toEqual({ do: 'run', isSuspect: false, recordStart: true })
  })

  test('is dead when its process died once too often, or once where a crash is its end', () => {
    const dead = { do: 'end', ended: { state: 'dead', error: { code: 'ERR_PROCESS_EXITED' } } }
    expect(decided({ hasCrashed: true, crashes: 3, stalls: 3 })).toMatchObject(dead)
    const task = { name: 'mail', policy: { onCrash: 'fail', maxCrashes: 3 } } as const
    expect(decided({ task, hasCrashed: true, crashes: 1, stalls: 1 })).toMatchObject(dead)
    expect(decided({ hasCrashed: true, crashes: 2, stalls: 2 })).toMatchObject({ do: 'run' })
    expect(decided({ crashes: 3 })).toMatchObject({ do: 'run' })
  })
})
