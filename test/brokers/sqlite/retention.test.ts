import { expect, test } from 'vitest'
import { echo, journalFile, journalRuntime } from './journal.fixture.ts'

test('finished jobs are kept by count, and the rest let go of while nothing else happens', async () => {
  const runtime = journalRuntime(journalFile(), { broker: { retention: { count: 300 } } })
  const jobs = Array.from({ length: 3000 }, (_, n) => runtime.enqueue(echo, n))
  await Promise.all(jobs.map((job) => job.settled))
  while ((await runtime.counts()).completed > 300 + 256) await new Promise(setImmediate)
  const last = jobs.at(-1)
  expect((await runtime.job(last?.id ?? ''))?.result).toBe(2999)
})

test('dead jobs are not among those that are let go of', async () => {
  const runtime = journalRuntime(journalFile(), { broker: { retention: { count: 0 } } })
  const job = runtime.enqueue('fails')
  await job.settled
  await runtime.enqueue(echo, 1).settled
  expect(await runtime.counts()).toMatchObject({ completed: 0, dead: 1 })
})
