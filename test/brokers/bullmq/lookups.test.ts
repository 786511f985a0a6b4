/** Questions that go to several queues. */
import { expect, test } from 'vitest'
import { Lookups } from '../../../src/brokers/bullmq/lookups.ts'
import { HandClock } from '../../kit/hand-clock.ts'

const queues = ['a', 'b', 'c'].map((name) => ({ name, pool: name, limit: 1 }))
const json = { id: 'j-1', name: 'mail', data: '{}', opts: {}, timestamp: 1, stacktrace: '[]' }

/** Lookups over queues that answer no question before each of them was asked `questions` times. */
function lookupsWith(questions: number): Lookups {
  let asked = 0
  const gate = Promise.withResolvers<void>()
  const ask = async <T>(answer: T): Promise<T> => {
    if (++asked === questions) gate.resolve()
    await gate.promise
    return answer
  }
  const queue = (name: string) => ({
    backend: {
      getJobData: () => ask(name === 'b' ? json : undefined),
      getState: () => ask('waiting'),
    },
    getJobs: () => ask([]),
    getJobCounts: () => ask({ waiting: 1, wait: 1 }),
  })
  const ended = {
    get: () => undefined,
    list: () => Promise.resolve([]),
    counts: () => Promise.resolve({ cancelled: 0, skipped: 0, dead: 0 }),
  }
  const host = { clock: new HandClock(), entryOf: () => undefined, foreignSeq: () => -1 }
  return new Lookups({ queue } as never, queues, ended as never, host)
}

test('a job that may lie in any queue is looked for in all of them at once', async () => {
  expect(await lookupsWith(3).find('j-1')).toMatchObject({ id: 'j-1', queue: 'b', state: 'available' })
})

test('all queues are listed and counted at once', async () => {
  expect(await lookupsWith(3).list({ state: 'completed' })).toEqual([])
  expect(await lookupsWith(3).counts()).toMatchObject({ available: 3 })
})
