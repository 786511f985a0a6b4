import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import { clockZero, systemClock } from '../../src/words/clock.ts'

describe('the system clock', () => {
  test('never goes back', () => {
    let before = systemClock.now()
    for (let reading = 0; reading < 10_000; reading++) {
      const now = systemClock.now()
      expect(now).toBeGreaterThanOrEqual(before)
      before = now
    }
  })

  test('calls a timer back once, outside of the context in which it was set', async () => {
    const storage = new AsyncLocalStorage<string>()
    const told = Promise.withResolvers<unknown>()
    storage.run('of a request', () => systemClock.timer(1, () => told.resolve(storage.getStore())))
    expect(await told.promise).toBeUndefined()
  })

  test('calls back at the end of the turn, outside of the context as well', async () => {
    const storage = new AsyncLocalStorage<string>()
    const told = Promise.withResolvers<unknown>()
    storage.run('of a request', () => systemClock.soon(() => told.resolve(storage.getStore())))
    expect(await told.promise).toBeUndefined()
  })

  test('takes a timer back', async () => {
    let calls = 0
    const clear = systemClock.timer(0, () => calls++)
    clear()
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(calls).toBe(0)
  })

  test('takes a wait that is longer than a timer can be, and a negative one', async () => {
    const never = systemClock.timer(2 ** 40, () => expect.unreachable())
    const told = Promise.withResolvers<void>()
    systemClock.timer(-5, told.resolve)
    await told.promise
    never()
  })
})

test('the zero of a thread lies on a scale that all threads share', () => {
  const difference = clockZero() - clockZero()
  expect(Math.abs(difference)).toBeLessThan(5)
})

test('the zero of a clock is right although the thread loses its processor while it is read', () => {
  // The scale runs 1,000 ms ahead of the clock; readings 0 and 2 are torn apart.
  let time = 50
  let reading = 0
  const zero = clockZero(
    () => time,
    () => {
      if (reading++ % 2 === 0) time += 20
      const at = time + 1000
      if (reading === 3) time += 40
      return at
    },
  )
  expect(zero).toBe(1000)
})
