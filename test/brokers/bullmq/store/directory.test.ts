/** Questions that go to several queues. */
import { expect, test } from 'vitest'
import { Directory } from '../../../../src/brokers/bullmq/store/directory.ts'
import { HandClock } from '../../../kit/hand-clock.ts'

const queues = ['a', 'b', 'c']
const json = { id: 'j-1', name: 'mail', data: '{}', opts: {}, timestamp: 1, stacktrace: '[]' }

/** A directory of queues that answer no question before each of them was asked `questions` times. */
function directoryWith(questions: number): Directory {
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
  const names = () => Promise.resolve(queues)
  const end = () => Promise.resolve(false)
  const parts = { queues, names, queue, clock: new HandClock(), isJsonb: false, end }
  return new Directory(parts as never)
}

test('a job that may lie in any queue is looked for in all of them at once', async () => {
  expect(await directoryWith(3).find('j-1')).toMatchObject({ id: 'j-1', queue: 'b', state: 'available' })
})

test('all queues are listed and counted at once', async () => {
  expect(await directoryWith(3).list({ state: 'completed' })).toEqual([])
  expect(await directoryWith(3).counts()).toMatchObject({ available: 3 })
})
