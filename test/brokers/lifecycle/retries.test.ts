/** The one policy of trying again. */
import { expect, test } from 'vitest'
import { isRefusal, refusalOf } from '../../../src/brokers/bullmq/store/refusals.ts'
import { Retries, within } from '../../../src/brokers/lifecycle/retries.ts'
import { HandClock } from '../../kit/hand-clock.ts'

/** Promises that are resolved have called back. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function retriesWith() {
  const clock = new HandClock()
  const tries: number[] = []
  const fail = (): Promise<never> => {
    tries.push(clock.now())
    return Promise.reject(new Error('The connection is closed.'))
  }
  return { clock, retries: new Retries(clock, isRefusal), tries, fail }
}

test('a write is tried again after 50 ms, then after twice as long each time, up to a second', async () => {
  const { clock, retries, tries, fail } = retriesWith()
  retries.see(fail)
  for (const wait of [50, 100, 200, 400, 800, 1000, 1000]) {
    await settled()
    clock.advance(wait - 1)
    await settled()
    clock.advance(1)
  }
  await settled()
  const waits = tries.slice(1).map((at, n) => at - (tries[n] ?? 0))
  expect(waits).toEqual([50, 100, 200, 400, 800, 1000, 1000])
})

test('a write that the store has refused is not tried again', async () => {
  const { retries } = retriesWith()
  let tries = 0
  const write = (): Promise<never> => {
    tries++
    return Promise.reject(refusalOf('j-1'))
  }
  await expect(retries.retry(write)).rejects.toThrow('belongs to another process')
  expect(tries).toBe(1)
})

test('writes that wait for their next try are tried at once when the store is there again', async () => {
  const { retries, tries, fail } = retriesWith()
  retries.see(fail)
  await settled()
  retries.retryNow()
  await settled()
  expect(tries).toHaveLength(2)
})

test('a stop waits for writes under way no longer than it is told to, and nothing is tried after it', async () => {
  const { clock, retries, tries, fail } = retriesWith()
  const write = retries.retry(fail)
  await settled()
  const over = retries.settle(10)
  clock.advance(10)
  await over
  await expect(write).rejects.toThrow('The connection is closed.')
  expect(tries).toHaveLength(2)
  expect(clock.timers).toBe(0)
})

test('a wait with a deadline leaves no timer behind when it is over before', async () => {
  const clock = new HandClock()
  await within(clock, 1000, Promise.resolve())
  expect(clock.timers).toBe(0)
})
