/** A job as it lies in the store: every byte of it is read and written many times. */
import { describe, expect, test } from 'vitest'
import {
  type RawJob,
  toJson,
  toProgress,
  toReturnValue,
  toStored,
} from '../../../../src/brokers/bullmq/store/bullmq-jobs.ts'
import { Records, toData, toNewJob } from '../../../../src/brokers/bullmq/store/job-data.ts'
import { decode, encode } from '../../../../src/rules/codec.ts'
import type { JobRecord } from '../../../../src/rules/job-record.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

const clock = new HandClock()

/** The stores: what Redis keeps is the text, what PostgreSQL keeps is jsonb, which sorts properties. */
const STORES = ['redis', 'postgres'] as const
type Store = (typeof STORES)[number]

function written(job: JobRecord, delay = 0, store: Store = 'redis'): ReturnType<typeof toJson> {
  const data = toData(job, clock, undefined, false)
  return toJson(
    toNewJob({ queue: 'q', id: 'id' }, job, data, clock, delay),
    clock.wall(),
    store === 'postgres',
  )
}

/** What comes back of a JSON text. */
function kept(text: string, store: Store): string {
  if (store === 'redis') return text
  if (/\\u0000/.test(text.replaceAll('\\\\', ''))) throw new Error('jsonb takes no NUL')
  return JSON.stringify(sorted(JSON.parse(text)))
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const names = Object.keys(value).sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  return Object.fromEntries(names.map((name) => [name, sorted(Reflect.get(value, name))]))
}

function storedAgain(
  more: Partial<RawJob>,
  store: Store = 'redis',
  job = recordOf(1, { readyAt: clock.now() }),
) {
  const json = written(job, 0, store)
  return toStored('q', 'id', { ...json, data: kept(json.data, store), ...more }, 'active', clock.wall())
}

function recordFrom(stored: ReturnType<typeof toStored>, { entry }: JobRecord): JobRecord {
  return new Records({ clock, entries: [entry] }).make(stored) as JobRecord
}

function readAgain(job: JobRecord): JobRecord {
  const json = written(job)
  const stored = toStored('q', 'id', json, 'active', clock.wall())
  return recordFrom(stored, job)
}

test('a job of the default priority has nothing in its data but its payload', () => {
  const job = recordOf(1, { readyAt: clock.now() - 200 })
  job.payload = '{"to":"a"}'
  expect(JSON.parse(written(job).data)).toEqual({ aftertask: {}, payload: { to: 'a' } })
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

const values = [
  undefined,
  { done: 1, of: 2 },
  { of: 2, done: { z: 1, a: [{ b: 1, a: 2 }] } },
  'half',
  'a\0b',
  { text: '\ud800' },
  { text: '},"payload":{"aftertask:json":1' },
  0.5,
  0,
  '0',
  null,
  new Map([[1, new Date(0)]]),
  10n,
  { 'aftertask:bytes': 'mine' },
  { aftertask: {}, payload: 1 },
]

describe.each(STORES)('in %s', (store) => {
  test.each(values)('a payload of %o is read as it was given, properties in their order', (value) => {
    const job = recordOf(1, { readyAt: clock.now() })
    job.payload = encode(value, 'payload')
    expect(storedAgain({}, store, job).payload).toEqual(job.payload)
  })

  test.each(values)('progress of %o is read as it was told', (value) => {
    const progress = encode(value, 'progress')
    const text = kept(toProgress(progress, store === 'postgres'), store)
    const read = storedAgain({ progress: JSON.parse(text) }, store).progress
    expect(decode(read)).toEqual(value)
  })

  test.each(values)('a result of %o is read as it was returned', (value) => {
    const result = encode(value, 'result')
    const text = kept(toReturnValue(result, store === 'postgres'), store)
    expect(storedAgain({ returnvalue: text }, store).result).toEqual(result)
  })
})

test('plain JSON data lies in the store as it is', () => {
  expect(toProgress('{"done":1}', false)).toBe('{"done":1}')
  expect(toProgress('50', true)).toBe('50')
  expect(toReturnValue('{"a":1,"b":2}', true)).toBe('{"a":1,"b":2}')
  expect(JSON.parse(toReturnValue('{"b":1,"a":2}', true))).toMatchObject({ value: { a: 2, b: 1 } })
  const job = recordOf(1, { readyAt: clock.now() })
  job.payload = '{"name":"ada","at":1}'
  expect(JSON.parse(kept(written(job, 0, 'postgres').data, 'postgres')).payload).toEqual({
    name: 'ada',
    at: 1,
  })
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
    const record = recordFrom(stored, job)
    expect(record).toMatchObject({ payload: undefined, attempts: 0 })
  },
)
