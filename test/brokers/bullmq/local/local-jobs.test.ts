/** Where a job of this process is, from its acceptance to its end. */
import { expect, test } from 'vitest'
import { type Lease, Leases } from '../../../../src/brokers/bullmq/consumer/leases.ts'
import { LocalJobs } from '../../../../src/brokers/bullmq/local/local-jobs.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import type { BrokerHost } from '../../../../src/brokers/port/host.ts'
import type { JobRecord } from '../../../../src/rules/job-record.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

function localJobs() {
  const clock = new HandClock()
  const told: string[] = []
  const tell =
    (what: string) =>
    ({ seq }: JobRecord): void =>
      void told.push(`${what} ${seq}`)
  const engine = {
    clock,
    idPrefix: 'j-',
    retention: { count: 10, age: 60_000 },
    settled: tell('settled'),
  } as unknown as BrokerHost
  const leases = new Leases(clock, new Retries(clock, isRefusal), 1000, () => {})
  const events = {
    expired: tell('expired'),
    leftBatch: tell('left'),
  }
  const local = new LocalJobs(engine, leases, events)
  const accepted = (seq: number): JobRecord => {
    const job = recordOf(seq)
    job.state = 'held'
    local.accept(job)
    return job
  }
  return { clock, leases, local, told, accepted }
}

test('a job goes from its response over the buffer to the store, and is stored from then on', () => {
  const { local, accepted } = localJobs()
  const job = accepted(1)
  const seen = [local.at(job)?.at]
  expect(local.released(job)).toBe(false)
  local.buffered(job)
  seen.push(local.at(job)?.at)
  expect(local.isStored(job)).toBe(false)
  local.writing(job, false)
  seen.push(local.at(job)?.at)
  local.arrived(job)
  seen.push(local.at(job)?.at)
  expect(seen).toEqual(['held', 'buffered', 'writing', 'stored'])
  expect(local.isStored(job)).toBe(true)
  expect(local.isAway(job)).toBe(true)
  expect([...local.notStored()]).toEqual([])
})

test('a job that this process has fetched is with its lease, and in the store again without it', () => {
  const { leases, local, accepted } = localJobs()
  const job = accepted(1)
  local.buffered(job)
  local.writing(job, false)
  local.arrived(job)
  const lease = { job, id: 'j-1', loop: { leased: 0 } } as unknown as Lease
  leases.add(lease)
  expect(local.at(job)).toEqual({ at: 'leased', lease })
  expect(local.isAway(job)).toBe(false)
  leases.drop(lease)
  expect(local.at(job)?.at).toBe('stored')
})

test('a held job that is released on its way to the store is not held there when it has arrived', () => {
  const { local, accepted } = localJobs()
  const job = accepted(1)
  local.buffered(job)
  local.writing(job, true)
  expect(local.released(job)).toBe(true)
  local.arrived(job)
  expect(local.at(job)).toEqual({ at: 'stored', isHeld: false })
  expect([...local.heldInStore()]).toEqual([])
})

test('a held job that lies in the store is put off until it is released', () => {
  const { local, accepted } = localJobs()
  const job = accepted(1)
  local.buffered(job)
  local.writing(job, true)
  local.arrived(job)
  expect([...local.heldInStore()]).toEqual([job])
  expect(local.released(job)).toBe(true)
  expect([...local.heldInStore()]).toEqual([])
})

test('a job that the store has an equal one of is skipped, once, and leaves its batch', () => {
  const { local, told, accepted } = localJobs()
  const job = accepted(1)
  local.buffered(job)
  local.writing(job, false)
  local.isDuplicate(job)
  local.isDuplicate(job)
  expect(job.state).toBe('skipped')
  expect(told).toEqual(['left 1', 'settled 1'])
  expect(local.at(job)).toBeUndefined()
  expect(local.endedHere.get('j-1')).toBe(job)
})

test('a dead job that starts over is reviving until the store knows, and only the last time counts', async () => {
  const { local, accepted } = localJobs()
  const job = accepted(1)
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  local.revive(job, first.promise)
  local.revive(job, second.promise)
  first.resolve()
  await first.promise
  await Promise.resolve()
  expect(local.at(job)?.at).toBe('reviving')
  expect(local.isStored(job)).toBe(true)
  second.resolve()
  await local.revived()
  expect(local.at(job)?.at).toBe('stored')
})

test('what the store never had is lost with the process, and what it has is not', () => {
  const { local, told, accepted } = localJobs()
  const [held, buffered, writing, stored] = [1, 2, 3, 4].map(accepted) as [
    JobRecord,
    JobRecord,
    JobRecord,
    JobRecord,
  ]
  for (const job of [buffered, writing, stored]) local.buffered(job)
  for (const job of [writing, stored]) local.writing(job, false)
  local.arrived(stored)
  local.loseWhatIsNotStored()
  expect([held, buffered, writing].map(({ state }) => state)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  expect(told).toEqual(['settled 1', 'settled 2', 'settled 3'])
  expect(local.at(stored)?.at).toBe('stored')
})
