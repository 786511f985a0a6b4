/** The loop that fetches jobs of one queue. */
import { expect, test } from 'vitest'
import { Feed } from '../../../src/brokers/bullmq/feed.ts'
import { HandClock } from '../../kit/hand-clock.ts'

function feedWith(claim: () => Promise<never[]>, mayTakeOver = false) {
  const clock = new HandClock()
  const looks: number[] = []
  const backend = {
    disconnectBlocking: () => Promise.resolve(),
    moveStalledJobsToWait: () => Promise.resolve(looks.push(clock.now())),
  }
  const fetcher = { backend, claim } as never
  const at = { queue: 'q', pool: 'default', limit: 1, fetcher, lease: 1000, name: 'me', isOrdered: true }
  const host = { room: () => 1, mayTakeOver: () => Promise.resolve(mayTakeOver), fetched: () => {} }
  return { clock, looks, feed: new Feed(at, host, clock) }
}

test('a feed that waits after a fault of the store is stopped at once', async () => {
  const asked = Promise.withResolvers<void>()
  const { clock, feed } = feedWith(() => {
    asked.resolve()
    return Promise.reject(new Error('The connection is closed.'))
  })
  feed.start()
  await asked.promise
  await new Promise((resolve) => setImmediate(resolve))
  // The wait, and the look for jobs of dead processes. No time passes on this clock: only the stop can end the wait.
  expect(clock.timers).toBe(2)
  await feed.stop()
  expect(clock.timers).toBe(0)
})

test('a feed looks for jobs of dead processes eight times in a lease, as soon as the store lets it', async () => {
  const { clock, feed, looks } = feedWith(() => new Promise(() => {}), true)
  const start = clock.now()
  feed.start()
  for (let step = 0; step < 10; step++) {
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(125)
  }
  expect(looks.map((at) => at - start)).toEqual([0, 125, 250, 375, 500, 625, 750, 875, 1000, 1125])
  void feed.stop()
})
