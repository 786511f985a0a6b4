/** Jobs that are not with this process: a request to cancel one is made again until the job is over. */
import { expect, test } from 'vitest'
import { CANCEL_CHANNEL, Elsewhere } from '../../../src/brokers/bullmq/elsewhere.ts'
import { Writes } from '../../../src/brokers/bullmq/insist.ts'
import type { StoredData } from '../../../src/brokers/bullmq/stored-job.ts'
import { errorFromText } from '../../../src/rules/journal-protocol.ts'
import { HandClock } from '../../kit/hand-clock.ts'

test('a job that is cancelled by a repeated request ends with the name of its task and the reason that was given', async () => {
  const clock = new HandClock()
  const published: unknown[] = []
  const kept: StoredData[] = []
  const states = ['running', 'available']
  const json = { id: 'j-1', name: 'mail', data: '{}', opts: {}, timestamp: 1, stacktrace: '[]' }
  const found = () => ({ id: 'j-1', queue: 'q', json, data: { a: 1, priority: 0 }, state: states.shift() })
  const ended = Promise.withResolvers<void>()
  const parts = {
    store: {
      publish: (channel: string, text: string) => published.push([channel, JSON.parse(text)]),
      queue: () => ({ backend: { remove: () => Promise.resolve(1) } }),
    },
    writes: new Writes(),
    lines: {},
    ended: { put: (_id: string, _name: string, data: StoredData) => Promise.resolve(kept.push(data)) },
    lookups: { find: () => Promise.resolve(found()) },
  }
  const elsewhere = new Elsewhere(parts as never, {
    clock,
    found: () => {},
    tell: () => ended.resolve(),
  })
  const reason = new Error('enough')
  elsewhere.cancel('j-1', 'mail', reason)
  await new Promise((resolve) => setImmediate(resolve))
  expect(published).toEqual([[CANCEL_CHANNEL, { id: 'j-1', reason: 'enough' }]])
  clock.advance(500)
  await ended.promise
  elsewhere.close()
  const error = errorFromText(kept[0]?.end?.error ?? '')
  expect(error).toMatchObject({ message: '"mail" was cancelled.', cause: { message: 'enough' } })
})
