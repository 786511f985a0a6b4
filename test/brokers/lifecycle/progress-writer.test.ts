import { expect, test } from 'vitest'
import { ProgressWriter } from '../../../src/brokers/lifecycle/progress-writer.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { recordOf } from '../../kit/records.ts'

function writerWith(options?: { writesFirst: boolean }) {
  const clock = new HandClock()
  const written: JobRecord[] = []
  const writer = new ProgressWriter(clock, (job) => void written.push(job), options)
  return { clock, written, writer }
}

test('progress that is told many times within a second is written once', () => {
  const { clock, written, writer } = writerWith()
  const [one, other] = [recordOf(1), recordOf(2)]
  for (let tell = 0; tell < 50; tell++) for (const job of [one, other]) writer.told(job)
  expect(written).toEqual([])
  clock.advance(1000)
  expect(written).toEqual([one, other])
  clock.advance(10_000)
  expect(written).toHaveLength(2)
  expect(clock.timers).toBe(0)
})

test('the first progress of a job is written at once where others wait for it, and what follows once a second', () => {
  const { clock, written, writer } = writerWith({ writesFirst: true })
  const job = recordOf(1)
  for (let tell = 0; tell < 150; tell++) {
    writer.told(job)
    clock.advance(20)
  }
  expect(written).toHaveLength(4)
  clock.advance(10_000)
  expect(clock.timers).toBe(0)
  expect(written).toHaveLength(4)
})

test('progress that is not written yet is written before the end of the attempt, and only then', () => {
  const { clock, written, writer } = writerWith({ writesFirst: true })
  const [job, silent] = [recordOf(1), recordOf(2)]
  writer.told(job)
  writer.told(job)
  writer.write(job)
  writer.write(silent)
  clock.advance(10_000)
  expect(written).toEqual([job, job])
})
