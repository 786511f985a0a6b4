/** The store's time on the event loop of a process. */
import { expect, test } from 'vitest'
import { StoreClock } from '../../../../src/brokers/bullmq/store/store-clock.ts'
import { HandClock } from '../../../kit/hand-clock.ts'

const HOUR = 3_600_000

function clockWith(): {
  own: HandClock
  clock: StoreClock
  ask: (ahead: number, takes?: number) => Promise<void>
} {
  const own = new HandClock()
  const clock = new StoreClock(own)
  const start = own.wall() - own.now()
  const ask = (ahead: number, takes = 2): Promise<void> => {
    const time = async (): Promise<number> => {
      own.advance(takes / 2)
      const shown = own.now() + start + ahead
      own.advance(takes / 2)
      return shown
    }
    return clock.learn({ time })
  }
  return { own, clock, ask }
}

test('a store clock shows the time of the machine until it has heard of the time of the store, and that from then on', async () => {
  const { own, clock, ask } = clockWith()
  expect(clock.wall()).toBe(own.wall())
  await ask(HOUR)
  expect(clock.wall()).toBe(own.wall() + HOUR)
  own.advance(500)
  expect(clock.wall()).toBe(own.wall() + HOUR)
})

test('a store clock is not moved by whoever sets the clock of the machine', async () => {
  const { own, clock, ask } = clockWith()
  await ask(0)
  const before = clock.wall()
  for (const step of [HOUR, -3 * HOUR]) own.jumpWall(step)
  own.advance(10)
  expect(clock.wall()).toBe(before + 10)
  expect(clock.hasStepped()).toBe(false)
})

test('a store clock does not jump about with answers that take long, and keeps its time when there is none', async () => {
  const { own, clock, ask } = clockWith()
  await ask(50)
  const ahead = clock.wall() - own.wall()
  await ask(50, 400)
  await clock.learn({ time: () => Promise.reject(new Error('gone')) })
  expect(clock.wall() - own.wall()).toBe(ahead)
})

test('a store clock follows the store when its clock is set, and tells so for a while', async () => {
  const { own, clock, ask } = clockWith()
  await ask(0)
  await ask(-HOUR)
  expect(Math.abs(clock.wall() - (own.wall() - HOUR))).toBeLessThanOrEqual(2)
  expect([clock.hasStepped(), clock.hasStepped(1000)]).toEqual([true, true])
  own.advance(1000)
  expect([clock.hasStepped(), clock.hasStepped(1000)]).toEqual([true, false])
})

test('a store clock asks again when an answer was long on its way, which tells little', async () => {
  const own = new HandClock()
  const clock = new StoreClock(own)
  const start = own.wall() - own.now()
  // The process stands still while the first answer is on its way.
  const waits = [1500, 2]
  const time = async (): Promise<number> => {
    const shown = own.now() + start + HOUR
    own.advance(waits.shift() ?? 0)
    return shown
  }
  await clock.learn({ time })
  expect(Math.abs(clock.wall() - own.wall() - HOUR)).toBeLessThanOrEqual(2)
})
