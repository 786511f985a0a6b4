/** Jobs that are not with this process: a request to cancel one is made again until the job is over. */
import { expect, test } from 'vitest'
import { CANCEL_TOPIC, RemoteJobs } from '../../../../src/brokers/bullmq/local/remote-jobs.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import type { Ending } from '../../../../src/brokers/port/attempt.ts'
import { HandClock } from '../../../kit/hand-clock.ts'

test('a job that is cancelled by a repeated request ends with the name of its task and the reason that was given', async () => {
  const clock = new HandClock()
  const published: unknown[] = []
  const ends: Ending[] = []
  const ended = Promise.withResolvers<void>()
  const store = {
    publish: (topic: string, text: string) => published.push([topic, JSON.parse(text)]),
    directory: {
      // It runs when it is asked for the first time, and waits when it is asked again.
      finish: (_id: string, end: Ending) =>
        Promise.resolve(
          ends.push(end) === 1
            ? { isRunning: true, isDone: false, job: undefined }
            : { isRunning: false, isDone: true, job: { id: 'j-1', queue: 'q', data: {}, left: { n: 0 } } },
        ),
    },
  }
  const settlements = { take: () => {}, tell: () => ended.resolve() }
  const remote = new RemoteJobs(store as never, new Retries(clock, isRefusal), clock, settlements as never)
  const reason = new Error('enough')
  void remote.cancel('j-1', 'mail', reason)
  await new Promise((resolve) => setImmediate(resolve))
  expect(published).toEqual([[CANCEL_TOPIC, { id: 'j-1', reason: 'enough' }]])
  clock.advance(500)
  await ended.promise
  remote.close()
  expect(ends[1]).toMatchObject({
    state: 'cancelled',
    error: { message: '"mail" was cancelled.', cause: reason },
  })
})

test('a request to cancel a job that has started over is made although the answer to an earlier one says that it is over', async () => {
  const clock = new HandClock()
  const published: string[] = []
  const first = Promise.withResolvers<object>()
  const runs = { isRunning: true, isDone: false, job: undefined }
  const answers: object[] = [first.promise]
  const store = {
    publish: (_topic: string, text: string) =>
      void published.push((JSON.parse(text) as { reason: string }).reason),
    directory: { finish: () => Promise.resolve(answers.shift() ?? runs) },
  }
  const remote = new RemoteJobs(store as never, new Retries(clock, isRefusal), clock, {} as never)
  void remote.cancel('j-1', 'mail', 'once')
  void remote.cancel('j-1', 'mail', 'again')
  first.resolve({ isRunning: false, isDone: false, job: undefined })
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(500)
  await new Promise((resolve) => setImmediate(resolve))
  remote.close()
  expect(published).toEqual(['again', 'again'])
})
