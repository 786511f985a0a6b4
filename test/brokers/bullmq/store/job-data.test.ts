/** A job as it lies in the store: every byte of it is read and written many times. */
import { expect, test } from 'vitest'
import { toJson, toStored } from '../../../../src/brokers/bullmq/store/bullmq-jobs.ts'
import {
  fromProgress,
  toData,
  toNewJob,
  toProgress,
  toRecord,
} from '../../../../src/brokers/bullmq/store/job-data.ts'
import { decode, encode } from '../../../../src/rules/codec.ts'
import type { JobRecord } from '../../../../src/rules/job-record.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

const clock = new HandClock()

function written(job: JobRecord, delay = 0): ReturnType<typeof toJson> {
  const data = toData(job, clock, undefined, false)
  return toJson(toNewJob('id', job, data, clock, delay), clock.wall())
}

function readAgain(job: JobRecord): JobRecord {
  const json = written(job)
  const stored = toStored('q', 'id', json, 'active', clock.wall())
  return toRecord(stored, { seq: 2, id: undefined, entry: job.entry, clock })
}

test('a job of the default priority has nothing in its data but its payload', () => {
  const job = recordOf(1, { readyAt: clock.now() - 200 })
  job.payload = '{"to":"a"}'
  expect(JSON.parse(written(job).data)).toEqual({ p: '{"to":"a"}' })
})

test.each([0, 7, -7])('a job of the priority %i is read with what it was written with', (priority) => {
  const job = recordOf(1, { readyAt: clock.now() - 200, priority })
  job.payload = '1'
  const { acceptedAt, payload } = job
  expect(readAgain(job)).toMatchObject({ acceptedAt, payload, priority })
})

test('a job that is written long after it was accepted is due when it is to be, not earlier', () => {
  const job = recordOf(1, { readyAt: clock.now() - 200 })
  const { timestamp, opts } = written(job, 30)
  expect(timestamp + (opts?.delay ?? 0)).toBe(clock.wall() + 30)
})

test.each([
  { done: 1, of: 2 },
  'half',
  0.5,
  0,
  '0',
  null,
  new Map([[1, new Date(0)]]),
  10n,
  { 'aftertask:bytes': 'mine' },
])('progress of %o is read as it was told', (value) => {
  const kept = JSON.parse(JSON.stringify(toProgress(encode(value, 'progress'))))
  expect(decode(fromProgress(kept))).toEqual(value)
})

test('progress that is plain JSON data lies in the store as it is', () => {
  expect(toProgress('{"done":1}')).toEqual({ done: 1 })
  expect(toProgress('50')).toBe(50)
})

test.each(['nonsense', '"text"', 'null', '7'])(
  'a job whose data is %s, not written here, is read without it',
  (data) => {
    const job = recordOf(1, { readyAt: clock.now() })
    const json = {
      ...written(job),
      data,
      stacktrace: JSON.stringify([`aftertask:${data}`, 'aftertask:{"n":1,"e":5}']),
    }
    const stored = toStored('q', 'id', json, 'active', clock.wall())
    const read = toRecord(stored, { seq: 2, id: undefined, entry: job.entry, clock })
    expect(read).toMatchObject({ payload: undefined, attempts: 0 })
  },
)
