/** Fetched jobs that wait for a thread. */
import { expect, test } from 'vitest'
import type { Lease } from '../../../../src/brokers/bullmq/consumer/leases.ts'
import { PrefetchBuffer } from '../../../../src/brokers/bullmq/consumer/prefetch-buffer.ts'
import { recordOf } from '../../../kit/records.ts'

function leaseOf(seq: number, priority: number, bufferedAt: number): Lease {
  const job = recordOf(seq, { priority })
  return {
    job,
    id: `j-${seq}`,
    loop: { of: { pool: 'default' } },
    data: { a: seq },
    bufferedAt,
  } as unknown as Lease
}

test('a job that has waited for too long is noticed behind jobs that came later and are more urgent', () => {
  const buffer = new PrefetchBuffer()
  buffer.enter(leaseOf(1, 0, 100))
  buffer.enter(leaseOf(2, 5, 900))
  expect(buffer.peek('default')?.seq).toBe(2)
  expect(buffer.lateSince(100)).toEqual([])
  expect(buffer.lateSince(101)).toEqual(['default'])
})
