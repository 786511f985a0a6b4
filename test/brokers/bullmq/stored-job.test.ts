/** A job as it lies in the store: every byte of it is read and written many times. */
import { expect, test } from 'vitest'
import { dataOf, toData, toJson, toRecord } from '../../../src/brokers/bullmq/stored-job.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { recordOf } from '../../kit/records.ts'

const clock = new HandClock()

function written(job: JobRecord): ReturnType<typeof toJson> {
  return toJson('id', job, toData(job, clock, undefined, false), clock, 0)
}

function readAgain(job: JobRecord): JobRecord {
  const json = written(job)
  const made = { seq: 2, id: undefined, entry: job.entry, clock }
  return toRecord(json, dataOf(json), made)
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
  const { timestamp, opts } = toJson('id', job, toData(job, clock, undefined, false), clock, 30)
  expect(timestamp + (opts?.delay ?? 0)).toBe(clock.wall() + 30)
})
