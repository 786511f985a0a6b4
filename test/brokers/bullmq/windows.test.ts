/** Fetched jobs that wait for a thread. */
import { expect, test } from 'vitest'
import type { Lease } from '../../../src/brokers/bullmq/leases.ts'
import { Windows } from '../../../src/brokers/bullmq/windows.ts'
import { recordOf } from '../../kit/records.ts'

function leaseOf(seq: number, priority: number, fetchedAt: number): Lease {
  const job = recordOf(seq, { priority })
  return { job, id: `j-${seq}`, feed: { pool: 'default' }, data: { a: seq }, fetchedAt } as unknown as Lease
}

test('a job that has waited for too long is noticed behind jobs that came later and are more urgent', () => {
  const windows = new Windows()
  windows.enter(leaseOf(1, 0, 100))
  windows.enter(leaseOf(2, 5, 900))
  expect(windows.peek('default')?.seq).toBe(2)
  expect(windows.lateSince(100)).toEqual([])
  expect(windows.lateSince(101)).toEqual(['default'])
})
