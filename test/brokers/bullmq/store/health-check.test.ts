/** When a process may take jobs whose lease has run out, by what it hears of the store: in virtual time. */
import { describe, expect, test } from 'vitest'
import { type StoreFault, toFault } from '../../../../src/brokers/bullmq/store/faults.ts'
import { HealthCheck } from '../../../../src/brokers/bullmq/store/health-check.ts'
import { Secrets } from '../../../../src/rules/secrets.ts'
import { HandClock } from '../../../kit/hand-clock.ts'

const LEASE = 1000

/** A store that answers at once, or not before `answer` is called. */
class FakeStore {
  isSilent = false
  uptimeInMs = LEASE
  readonly #waiting: (() => void)[] = []

  probe(): Promise<void> {
    if (!this.isSilent) return Promise.resolve()
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }

  uptime(): Promise<number> {
    return Promise.resolve(this.uptimeInMs)
  }

  reconnect(): void {}

  explain(error: unknown): StoreFault {
    return toFault(error, new Secrets({}))
  }

  answer(): void {
    this.isSilent = false
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

async function checkOf(store: FakeStore) {
  const clock = new HandClock()
  const events: string[] = []
  const health = new HealthCheck(clock, { lease: LEASE, patience: 10 * LEASE }, store, {
    onTimeout: () => events.push('silent'),
    onRecovered: () => events.push('answers'),
    onRefused: ({ message }) => events.push(message),
    onAccepted: () => events.push('accepts'),
    onWritable: () => {},
  })
  await health.start()
  /** Time passes in which the process runs: answers are handled as they come. */
  const pass = async (milliseconds: number): Promise<void> => {
    for (let left = milliseconds; left > 0; left -= 50) {
      clock.advance(Math.min(left, 50))
      await settled()
    }
  }
  return { clock, health, pass, events }
}

/** Promises that are resolved have called back. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

describe('the health of the store', () => {
  test('is steady at once when the store has been up for a lease, and only after a lease when it has just been started', async () => {
    const old = new FakeStore()
    expect(await (await checkOf(old)).health.isSteady()).toBe(true)
    const young = new FakeStore()
    young.uptimeInMs = 0
    const { health, pass } = await checkOf(young)
    await pass(LEASE - 50)
    expect(await health.isSteady()).toBe(false)
    await pass(50)
    expect(await health.isSteady()).toBe(true)
  })

  test('stays steady through a silence of less than a third of a lease, and is steady a lease after a longer one', async () => {
    const store = new FakeStore()
    const { health, pass } = await checkOf(store)
    store.isSilent = true
    await pass(0.25 * LEASE)
    store.answer()
    await settled()
    expect(await health.isSteady()).toBe(true)
    await pass(LEASE)
    store.isSilent = true
    await pass(0.8 * LEASE)
    store.answer()
    await settled()
    expect(await health.isSteady()).toBe(false)
    await pass(LEASE - 50)
    expect(await health.isSteady()).toBe(false)
    await pass(50)
    expect(await health.isSteady()).toBe(true)
  })

  test('stays steady when the process itself stood still, and handles an answer before its late timers', async () => {
    const store = new FakeStore()
    const { clock, health, pass } = await checkOf(store)
    await pass(LEASE)
    store.isSilent = true
    await pass(200)
    clock.standStill(0.3 * LEASE)
    store.answer()
    await settled()
    expect(await health.isSteady()).toBe(true)
    await pass(200)
    expect(await health.isSteady()).toBe(true)
  })

  test('of a process that stood still for more than a third of a lease is steady again after a quarter of a lease', async () => {
    const store = new FakeStore()
    const { clock, health, pass } = await checkOf(store)
    await pass(LEASE)
    clock.standStill(0.5 * LEASE)
    expect(await health.isSteady()).toBe(false)
    await pass(0.25 * LEASE - 50)
    expect(await health.isSteady()).toBe(false)
    await pass(50)
    expect(await health.isSteady()).toBe(true)
  })

  test('is not steady after a connection that broke was away for a third of a lease, though the process stood still itself', async () => {
    const store = new FakeStore()
    const { clock, health, pass } = await checkOf(store)
    await pass(LEASE)
    clock.standStill(0.4 * LEASE)
    health.cut()
    await pass(50)
    expect(await health.isSteady()).toBe(false)
    await pass(0.9 * LEASE)
    expect(await health.isSteady()).toBe(false)
    await pass(0.1 * LEASE)
    expect(await health.isSteady()).toBe(true)
  })

  test('is told to refuse when a write has failed for longer than the patience, in its words, until it passes', async () => {
    const { health, pass, events } = await checkOf(new FakeStore())
    const [write, other] = [{}, {}]
    health.failed(write, new Error('OOM command not allowed.'))
    health.failed(other, new Error('another'))
    await pass(10 * LEASE - 50)
    expect(events).toEqual([])
    await pass(200)
    expect(events).toEqual([expect.stringContaining('OOM command not allowed.')])
    health.passed(other)
    expect(events).toHaveLength(1)
    health.passed(write)
    expect(events.slice(1)).toEqual(['accepts'])
  })

  test('does not count what passes within the patience, nor what is wrong with the data of a write', async () => {
    const { health, pass, events } = await checkOf(new FakeStore())
    const [write, spoilt] = [{}, {}]
    health.failed(spoilt, new TypeError('no JSON'))
    health.failed(write, new Error('READONLY'))
    await pass(9 * LEASE)
    health.passed(write)
    health.failed(write, new Error('READONLY'))
    await pass(9 * LEASE)
    expect(events).toEqual([])
  })
})
