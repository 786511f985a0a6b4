/** What becomes of a job between the store's answer and a thread. */
import { expect, test } from 'vitest'
import { Consumer, type ConsumerParts } from '../../../../src/brokers/bullmq/consumer/consumer.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

const LEASE = 900
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

/** A consumer whose store answers the first claim after some milliseconds, and then has or has not the lease any more. */
async function fetchesAfter(
  milliseconds: number,
  isGone: boolean,
): Promise<{ shown: boolean; renewals: number }> {
  const clock = new HandClock()
  const answer = Promise.withResolvers<unknown>()
  let renewals = 0
  let claims = 0
  const source = {
    claim: () => (claims++ === 0 ? answer.promise : new Promise(() => {})),
    renew: () => {
      renewals++
      return Promise.resolve(isGone ? ['j-1'] : [])
    },
    reclaimExpired: () => Promise.resolve(),
    stopWaiting: () => {},
    waitForWork: () => new Promise(() => {}),
  }
  const health = { passed() {}, failed() {}, isSteady: () => Promise.resolve(false) }
  const engine = { clock, slots: () => 2, wake() {}, pendingChanged() {}, leaseLost() {} }
  const parts = {
    store: { isOrdered: true, source: () => source, publish() {} },
    retries: new Retries(clock, isRefusal),
    settings: { lease: LEASE, prefetch: 0 },
    ...{ health, engine, recheck: 1000 },
    time: Object.assign(clock, { hasStepped: () => false }),
    records: { make: () => recordOf(1) },
  }
  const consumer = new Consumer(parts as unknown as ConsumerParts, {
    accepted: () => undefined,
    lineOf: () => undefined,
    ended: () => {},
  })
  consumer.start([{ name: 'q', pool: 'default', limit: 2, tasks: [] }] as never, 'me')
  await turn()
  clock.advance(milliseconds)
  const stored = { id: 'j-1', name: 'mail', data: { a: 1 }, left: {}, starts: 1, stalls: 0, payload: {} }
  renewals = 0
  answer.resolve({ jobs: [{ token: 'me:0', job: stored }], dueAt: 0 })
  await turn()
  clock.advance(0)
  const shown = consumer.peek('default') !== undefined
  void consumer.stop()
  return { shown, renewals }
}

test('a job that comes with an answer in time is shown to the threads at once', async () => {
  expect(await fetchesAfter(LEASE / 3 - 1, false)).toEqual({ shown: true, renewals: 0 })
})

test('a job whose answer was long on its way is shown once its lease is renewed', async () => {
  expect(await fetchesAfter(LEASE, false)).toEqual({ shown: true, renewals: 1 })
})

test('a job whose answer came when another process may have the job by now is not shown', async () => {
  expect(await fetchesAfter(LEASE, true)).toEqual({ shown: false, renewals: 1 })
})
