/** The loop that fetches jobs of one queue. */
import { expect, test } from 'vitest'
import { FetchLoop } from '../../../../src/brokers/bullmq/consumer/fetch-loop.ts'
import { HandClock } from '../../../kit/hand-clock.ts'

function loopWith(claim: () => Promise<never>, mayReclaim = false) {
  const clock = new HandClock()
  const looks: number[] = []
  const source = {
    claim,
    stopWaiting: () => {},
    reclaimExpired: () => Promise.resolve(looks.push(clock.now())),
  }
  const of = { queue: 'q', pool: 'default', limit: 1, lease: 1000, name: 'me', isOrdered: true }
  const host = { room: () => 1, mayReclaim: () => Promise.resolve(mayReclaim), fetched: () => {} }
  return { clock, looks, loop: new FetchLoop(of, source as never, host, clock) }
}

test('a fetch loop that waits after a fault of the store is stopped at once', async () => {
  const asked = Promise.withResolvers<void>()
  const { clock, loop } = loopWith(() => {
    asked.resolve()
    return Promise.reject(new Error('The connection is closed.'))
  })
  loop.start()
  await asked.promise
  await new Promise((resolve) => setImmediate(resolve))
  // The wait, and the look for jobs of dead processes. No time passes on this clock: only the stop can end the wait.
  expect(clock.timers).toBe(2)
  await loop.stop()
  expect(clock.timers).toBe(0)
})

test('a fetch loop looks for jobs of dead processes eight times in a lease, as soon as the store lets it', async () => {
  const { clock, loop, looks } = loopWith(() => new Promise(() => {}), true)
  const start = clock.now()
  loop.start()
  for (let step = 0; step < 10; step++) {
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(125)
  }
  expect(looks.map((at) => at - start)).toEqual([0, 125, 250, 375, 500, 625, 750, 875, 1000, 1125])
  void loop.stop()
})
