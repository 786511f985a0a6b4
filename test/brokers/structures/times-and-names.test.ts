/** When jobs are due, and who holds which name. */
import { describe, expect, test } from 'vitest'
import { KeyLocks } from '../../../src/brokers/memory/key-locks.ts'
import { Timeline } from '../../../src/brokers/structures/timeline.ts'
import { UniqueKeys } from '../../../src/brokers/structures/unique-keys.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { recordOf } from '../../kit/records.ts'

describe('Timeline', () => {
  function timeline(): { clock: HandClock; line: Timeline; due: number[] } {
    const clock = new HandClock()
    const due: number[] = []
    const line = new Timeline(
      clock,
      (job) => due.push(job.seq),
      (job) => job.state === 'scheduled',
    )
    return { clock, line, due }
  }

  function scheduled(seq: number): JobRecord {
    const job = recordOf(seq)
    job.state = 'scheduled'
    return job
  }

  test('calls back for each job at its time, in the order of their times', () => {
    const { clock, line, due } = timeline()
    const now = clock.now()
    line.add(scheduled(1), now + 300)
    line.add(scheduled(2), now + 100)
    line.add(scheduled(3), now + 300)
    clock.advance(99)
    expect(due).toEqual([])
    clock.advance(1)
    expect(due).toEqual([2])
    clock.advance(200)
    expect(due).toEqual([2, 1, 3])
  })

  test('has one timer however many jobs wait', () => {
    const { clock, line } = timeline()
    for (let seq = 1; seq <= 100; seq++) line.add(scheduled(seq), clock.now() + 1000 - seq)
    expect(clock.timers).toBe(1)
  })

  test('passes over jobs that do not wait any more, and does not count them as due', () => {
    const { clock, line, due } = timeline()
    const [first, second] = [scheduled(1), scheduled(2)]
    line.add(first, clock.now() + 100)
    line.add(second, clock.now() + 200)
    first.state = 'cancelled'
    expect(line.next()).toBe(clock.now() + 200)
    clock.advance(500)
    expect(due).toEqual([2])
    expect(line.next()).toBe(Number.POSITIVE_INFINITY)
  })

  test('does not grow without end with jobs that were cancelled', () => {
    const { clock, line, due } = timeline()
    for (let seq = 1; seq <= 5000; seq++) {
      const job = scheduled(seq)
      line.add(job, clock.now() + 1e6)
      if (seq % 100 !== 0) job.state = 'cancelled'
    }
    clock.advance(1e6)
    expect(due).toHaveLength(50)
  })

  test('calls back for nothing once it is closed', () => {
    const { clock, line, due } = timeline()
    line.add(scheduled(1), clock.now() + 100)
    line.close()
    line.add(scheduled(2), clock.now() + 50)
    clock.advance(1000)
    expect(due).toEqual([])
    expect(clock.timers).toBe(0)
  })
})

describe('KeyLocks', () => {
  function line(count: number): { lines: KeyLocks; jobs: JobRecord[] } {
    const lines = new KeyLocks()
    const jobs = Array.from({ length: count }, (_, index) => recordOf(index + 1))
    for (const [index, job] of jobs.entries()) {
      expect(lines.join('key', job)).toBe(index === 0)
      if (index > 0) job.state = 'waiting'
    }
    return { lines, jobs }
  }

  test('let each hold the key in the order of joining', () => {
    const { lines, jobs } = line(3)
    const [first, second, third] = jobs as [JobRecord, JobRecord, JobRecord]
    expect(lines.leave('key', first)).toBe(second)
    expect(lines.leave('key', second)).toBe(third)
    expect(lines.leave('key', third)).toBeUndefined()
    expect(lines.join('key', recordOf(4))).toBe(true)
  })

  test('close up where a job leaves the line out of its turn, also the last', () => {
    const { lines, jobs } = line(4)
    const [first, second, third, fourth] = jobs as [JobRecord, JobRecord, JobRecord, JobRecord]
    expect(lines.leave('key', second)).toBeUndefined()
    expect(lines.leave('key', fourth)).toBeUndefined()
    const fifth = recordOf(5)
    expect(lines.join('key', fifth)).toBe(false)
    fifth.state = 'waiting'
    expect(lines.leave('key', first)).toBe(third)
    expect(lines.leave('key', third)).toBe(fifth)
  })

  test('leave the key with its holder while that waits for a retry', () => {
    const { lines, jobs } = line(2)
    expect(lines.join('key', jobs[0] as JobRecord)).toBe(true)
  })
})

describe('UniqueKeys', () => {
  function unique(seq: number, until?: number): JobRecord {
    const job = recordOf(seq)
    job.more.uniqueKey = 'name'
    if (until !== undefined) job.more.uniqueUntil = until
    return job
  }

  test('are held while the job is pending', () => {
    const keys = new UniqueKeys(new HandClock())
    const job = unique(1)
    keys.hold('name', job)
    expect(keys.holder('name')).toBe(job)
    job.state = 'completed'
    keys.over(job)
    expect(keys.holder('name')).toBeUndefined()
  })

  test('are held for a time whatever becomes of the job', () => {
    const clock = new HandClock()
    const keys = new UniqueKeys(clock)
    const job = unique(1, clock.now() + 500)
    keys.hold('name', job)
    job.state = 'completed'
    keys.over(job)
    clock.advance(499)
    expect(keys.holder('name')).toBe(job)
    clock.advance(1)
    expect(keys.holder('name')).toBeUndefined()
  })

  test('are not let go of by a job whose key another has taken since', () => {
    const clock = new HandClock()
    const keys = new UniqueKeys(clock)
    const first = unique(1, clock.now() + 10)
    keys.hold('name', first)
    clock.advance(20)
    const second = unique(2)
    keys.hold('name', second)
    keys.over(first)
    expect(keys.holder('name')).toBe(second)
  })
})
