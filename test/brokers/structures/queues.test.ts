/** The structures that jobs wait in, against plain models of them. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FinishedJobs } from '../../../src/brokers/lifecycle/finished-jobs.ts'
import { Heap } from '../../../src/brokers/structures/heap.ts'
import { JobIndex } from '../../../src/brokers/structures/job-index.ts'
import { PoolQueue } from '../../../src/brokers/structures/pool-queue.ts'
import { ReadyQueue } from '../../../src/brokers/structures/ready-queue.ts'
import { Ring } from '../../../src/brokers/structures/ring.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { entryOf, recordOf } from '../../kit/records.ts'

describe('Ring', () => {
  test('gives back what was pushed, first in, first out, at any length', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer()), { maxLength: 300 }), (operations) => {
        const ring = new Ring<number>()
        const model: number[] = []
        for (const item of operations) {
          const taken = item === null ? ring.shift() : undefined
          expect(taken).toBe(item === null ? model.shift() : undefined)
          if (item !== null) ring.push(item)
          if (item !== null) model.push(item)
          expect(ring.length).toBe(model.length)
          expect(ring.peek()).toBe(model[0])
        }
      }),
    )
  })

  test('grows for a burst and keeps the order when it shrinks again', () => {
    const ring = new Ring<number>()
    for (let number = 0; number < 100_000; number++) ring.push(number)
    for (let number = 0; number < 99_990; number++) expect(ring.shift()).toBe(number)
    ring.push(100_000)
    const rest = Array.from({ length: ring.length }, () => ring.shift())
    expect(rest).toEqual([
      99_990, 99_991, 99_992, 99_993, 99_994, 99_995, 99_996, 99_997, 99_998, 99_999, 100_000,
    ])
  })
})

describe('Heap', () => {
  test('gives the least first, whatever the order of pushing', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (items) => {
        const heap = new Heap<number>((a, b) => a - b)
        for (const item of items) heap.push(item)
        const sorted = Array.from({ length: heap.length }, () => heap.pop())
        expect(sorted).toEqual([...items].sort((a, b) => a - b))
        expect(heap.pop()).toBeUndefined()
      }),
    )
  })

  test('keeps its order when items are dropped from its midst', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1000 })), (items) => {
        const heap = new Heap<number>((a, b) => a - b)
        for (const item of items) heap.push(item)
        heap.retain((item) => item % 3 !== 0)
        const rest = Array.from({ length: heap.length }, () => heap.pop())
        expect(rest).toEqual(items.filter((item) => item % 3 !== 0).sort((a, b) => a - b))
      }),
    )
  })
})

const WEIGHT = 1000
const rank = (job: JobRecord): number => job.readyAt - job.priority * WEIGHT
const inOrder = (jobs: JobRecord[]): number[] =>
  [...jobs].sort((a, b) => rank(a) - rank(b) || a.seq - b.seq).map((job) => job.seq)

/** Jobs in the order in which they become available, some of another priority. */
const arrivals = fc
  .array(fc.record({ wait: fc.integer({ min: 0, max: 3000 }), priority: fc.integer({ min: -3, max: 3 }) }))
  .map((list) => {
    let readyAt = 0
    return list.map(({ wait, priority }, index) => {
      readyAt += wait
      return recordOf(index + 1, { readyAt, priority })
    })
  })

describe('ReadyQueue', () => {
  test('takes by priority and waiting, then by age', () => {
    fc.assert(
      fc.property(arrivals, (jobs) => {
        const queue = new ReadyQueue(WEIGHT)
        for (const job of jobs) queue.push(job)
        expect(jobs.map(() => queue.take()?.seq)).toEqual(inOrder(jobs))
      }),
    )
  })

  test('gives a job that was put back the place it had', () => {
    const queue = new ReadyQueue(WEIGHT)
    const jobs = [1, 2, 3].map((seq) => recordOf(seq, { readyAt: seq }))
    for (const job of jobs) queue.push(job)
    const first = queue.take() as JobRecord
    queue.push(recordOf(4, { readyAt: 4 }))
    queue.putBack(first)
    expect([1, 2, 3, 4].map(() => queue.take()?.seq)).toEqual([1, 2, 3, 4])
  })

  test('passes over jobs that have left by another door', () => {
    const queue = new ReadyQueue(WEIGHT)
    const jobs = [0, 0, 5].map((priority, index) => recordOf(index + 1, { priority }))
    for (const job of jobs) queue.push(job)
    for (const job of [jobs[0], jobs[2]] as JobRecord[]) job.state = 'cancelled'
    expect(queue.peek()?.seq).toBe(2)
    expect([queue.take()?.seq, queue.take()]).toEqual([2, undefined])
  })

  test('without ageing lets no wait outweigh a priority', () => {
    const queue = new ReadyQueue(0)
    queue.push(recordOf(1, { readyAt: 0 }))
    queue.push(recordOf(2, { readyAt: 1e9, priority: 1 }))
    expect(queue.take()?.seq).toBe(2)
  })
})

describe('PoolQueue', () => {
  const limited = entryOf('limited', { concurrency: 1 })

  test('takes across tasks in the one order that priority and waiting give', () => {
    fc.assert(
      fc.property(arrivals, fc.array(fc.boolean()), (jobs, isLimited) => {
        const mixed = jobs.map(({ seq, readyAt, priority }, index) =>
          recordOf(seq, { readyAt, priority, ...(isLimited[index] ? { entry: limited } : {}) }),
        )
        const queue = new PoolQueue(WEIGHT, () => true)
        for (const job of mixed) queue.push(job)
        expect(mixed.map(() => queue.take()?.seq)).toEqual(inOrder(mixed))
      }),
    )
  })

  test('leaves the jobs of a task at its limit where they are, and others pass', () => {
    let isFull = true
    const queue = new PoolQueue(WEIGHT, () => !isFull)
    queue.push(recordOf(1, { entry: limited }))
    queue.push(recordOf(2, { readyAt: 1 }))
    queue.push(recordOf(3, { readyAt: 2, entry: limited }))
    queue.push(recordOf(4, { readyAt: 3, priority: 9, entry: limited }))
    expect([queue.take()?.seq, queue.peek()]).toEqual([2, undefined])
    isFull = false
    expect([queue.take(), queue.take(), queue.take()].map((job) => job?.seq)).toEqual([4, 1, 3])
  })
})

describe('FinishedJobs', () => {
  const finished = (seq: number, readyAt: number): JobRecord => {
    const job = recordOf(seq, { readyAt })
    job.state = 'dead'
    return job
  }

  test('forgets the oldest beyond its count', () => {
    const forgotten: number[] = []
    const jobs = new FinishedJobs(new HandClock(), { count: 2, age: 1e9 }, (seq) => forgotten.push(seq))
    for (const seq of [1, 2, 3, 4]) jobs.add(finished(seq, 1000))
    expect(forgotten).toEqual([1, 2])
  })

  test('forgets what is older than its age, as others finish', () => {
    const clock = new HandClock()
    const forgotten: number[] = []
    const jobs = new FinishedJobs(clock, { count: 1000, age: 500 }, (seq) => forgotten.push(seq))
    jobs.add(finished(1, clock.now()))
    clock.advance(400)
    jobs.add(finished(2, clock.now()))
    clock.advance(200)
    jobs.add(finished(64, clock.now()))
    expect(forgotten).toEqual([1])
  })

  test('does not forget a job that was revived, and counts it once when it is over again', () => {
    const forgotten: number[] = []
    const jobs = new FinishedJobs(new HandClock(), { count: 2, age: 1e9 }, (seq) => forgotten.push(seq))
    const revived = finished(1, 1000)
    jobs.add(revived)
    jobs.revived(revived)
    for (const seq of [2, 3]) jobs.add(finished(seq, 1000))
    expect(forgotten).toEqual([])
    jobs.add(revived)
    expect(forgotten).toEqual([2])
    jobs.add(finished(4, 1000))
    jobs.add(finished(5, 1000))
    expect(forgotten).toEqual([2, 3, 1])
  })
})

test('JobIndex finds jobs by number, in the order of their numbers, and lets go of empty pages', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 5000 })), fc.array(fc.nat()), (seqs, gone) => {
      const index = new JobIndex()
      const jobs = seqs.sort((a, b) => a - b).map((seq) => recordOf(seq))
      for (const job of jobs) index.set(job)
      const left = new Set(jobs)
      for (const number of gone) {
        const job = jobs[number % Math.max(jobs.length, 1)]
        if (job === undefined) continue
        index.delete(job.seq)
        left.delete(job)
      }
      for (const job of jobs) expect(index.get(job.seq)).toBe(left.has(job) ? job : undefined)
      expect([...index.values()]).toEqual([...left])
    }),
  )
})
