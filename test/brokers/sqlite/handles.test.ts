import { expect, test } from 'vitest'
import { nextEvent } from '../../kit/jobs.ts'
import { echo, fails, failsLater, journalFile, journalRuntime } from './journal.fixture.ts'

/** Jobs beyond the window: nothing of them is in memory but their handles. */
async function spilled(file: string) {
  const runtime = journalRuntime(file, { broker: { window: 1 } })
  await runtime.ready()
  runtime.pause()
  const jobs = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => runtime.enqueue(echo, n))
  await Promise.all(jobs.map((job) => job.stored))
  return { runtime, jobs }
}

test('a handle of a job that waits on disk hears of its end', async () => {
  const { runtime, jobs } = await spilled(journalFile())
  const last = jobs.at(-1)?.settled
  runtime.resume()
  expect(await last).toMatchObject({ state: 'completed', result: 8 })
})

test('a handle that is asked only after the end still tells it', async () => {
  const { runtime, jobs } = await spilled(journalFile())
  const [first, last] = [jobs[0], jobs.at(-1)]
  runtime.resume()
  await first?.settled
  while ((await runtime.counts()).completed < 8) await new Promise(setImmediate)
  expect(await last?.result()).toBe(8)
  expect(last?.state).toBe('completed')
})

/** A job that waited on disk and is to be tried again: of its first attempt its handle knows nothing. */
async function retried() {
  const runtime = journalRuntime(journalFile(), { broker: { window: 1 } })
  await runtime.ready()
  runtime.pause()
  const retrying = nextEvent(runtime, 'job:retrying')
  const jobs = [runtime.enqueue(echo, 'fills the window'), runtime.enqueue(failsLater)] as const
  await Promise.all(jobs.map((each) => each.stored))
  runtime.resume()
  await retrying
  // The retry is written before this is answered.
  await runtime.counts()
  return { runtime, job: jobs[1] }
}

test('a handle that is asked for the end of its job during a retry does not stop the job', async () => {
  const { runtime, job } = await retried()
  expect(await job.settled).toMatchObject({ state: 'dead', attempts: 2 })
  expect((await runtime.job(job.id))?.history?.map(({ attempt }) => attempt)).toEqual([1, 2])
})

test('a handle cancels its job during a retry, and the attempt before it stays on record', async () => {
  const { runtime, job } = await retried()
  expect(job.cancel()).toBe(true)
  expect(await job.settled).toMatchObject({ state: 'cancelled', attempts: 1 })
  expect(await runtime.job(job.id)).toMatchObject({ state: 'cancelled', attempts: 1 })
})

test('a job that waits on disk can be cancelled through its handle and by its id', async () => {
  const { runtime, jobs } = await spilled(journalFile())
  const [, , , , , sixth, seventh] = jobs
  expect(sixth?.cancel()).toBe(true)
  expect(await runtime.cancel(seventh?.id ?? '')).toBe(true)
  expect((await sixth?.settled)?.state).toBe('cancelled')
  runtime.resume()
  await jobs[7]?.settled
  while ((await runtime.counts()).completed < 6) await new Promise(setImmediate)
  expect((await runtime.job(seventh?.id ?? ''))?.state).toBe('cancelled')
})

test('a unique job that waits on disk is found by an equal one', async () => {
  const { runtime } = await spilled(journalFile())
  const first = runtime.enqueue(echo, 'same', { unique: true })
  await first.stored
  expect(runtime.enqueue(echo, 'same', { unique: true }).id).toBe(first.id)
  runtime.resume()
  await first.settled
  expect(runtime.enqueue(echo, 'same', { unique: true }).id).not.toBe(first.id)
})

test('a dead job keeps the errors of every attempt, and can be revived or removed after a restart', async () => {
  const file = journalFile()
  const before = journalRuntime(file)
  const ids = [before.enqueue(fails), before.enqueue(fails), before.enqueue(fails)].map((job) => job.id)
  while ((await before.counts()).dead < 3) await new Promise(setImmediate)
  await before.stop()

  const runtime = journalRuntime(file)
  runtime.pause()
  const [first = '', second = ''] = ids
  const history = (await runtime.job(first))?.history
  expect(history?.map(({ attempt, outcome, error }) => [attempt, outcome, error?.message])).toEqual([
    [1, 'failed', 'attempt 1 failed'],
    [2, 'failed', 'attempt 2 failed'],
  ])
  expect((await runtime.jobs({ state: 'dead' })).jobs.map((job) => job.id)).toEqual([...ids].reverse())
  expect(await runtime.remove(first)).toBe(true)
  expect(await runtime.job(first)).toBeUndefined()
  expect(await runtime.revive(second)).toBe(true)
  expect(await runtime.reviveAll({ task: 'fails' })).toEqual({ matched: 1, done: 1 })
  expect(await runtime.counts()).toMatchObject({ dead: 0, available: 2 })
})

test('a result can be read after a restart', async () => {
  const file = journalFile()
  const before = journalRuntime(file)
  const job = before.enqueue(echo, { when: new Date(5) })
  await job.settled
  await before.stop()
  const runtime = journalRuntime(file)
  expect(await runtime.job(job.id)).toMatchObject({ state: 'completed', result: { when: new Date(5) } })
})
