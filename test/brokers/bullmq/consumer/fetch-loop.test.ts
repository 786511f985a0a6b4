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
  const of = { queue: 'q', pool: 'default', limit: 1, tasks: [], lease: 1000, name: 'me', isOrdered: true }
  const host = {
    room: () => 1,
    mayReclaim: () => Promise.resolve(mayReclaim),
    fetched: () => {},
    look() {},
    isAwaited: () => false,
    isHeld: () => false,
  }
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

test('a fetch loop whose claim was not answered asks for what lies under its tokens, and renews it, before it claims more', async () => {
  const clock = new HandClock()
  const asked: unknown[] = []
  const job = { id: 'j-1', starts: 1, stalls: 0, data: { a: 1 } }
  let faults = 1
  const source = {
    claim: (tokens: readonly string[]) => {
      asked.push(['claim', tokens])
      if (faults-- > 0) return Promise.reject(new Error('The connection is closed.'))
      return new Promise(() => {})
    },
    claimedUnder: (tokens: readonly string[]) => {
      asked.push(['claimedUnder', tokens])
      return Promise.resolve([{ token: 'me:0', job }])
    },
    renew: (leases: readonly { id: string; token: string }[]) => {
      asked.push(['renew', leases.map(({ id, token }) => `${id} ${token}`)])
      return Promise.resolve([])
    },
    stopWaiting: () => {},
    reclaimExpired: () => Promise.resolve(),
  }
  const came = Promise.withResolvers<string>()
  const of = { queue: 'q', pool: 'default', limit: 1, tasks: [], lease: 1000, name: 'me', isOrdered: true }
  const host = { room: () => 1, mayReclaim: () => Promise.resolve(false) }
  const fetched = (_: unknown, claimed: { job: { id: string } }): void => came.resolve(claimed.job.id)
  const loop = new FetchLoop(of, source as never, { ...host, fetched } as never, clock)
  loop.start()
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(200)
  expect(await came.promise).toBe('j-1')
  expect(asked.slice(0, 3)).toEqual([
    ['claim', ['me:0']],
    ['claimedUnder', ['me:0']],
    ['renew', ['j-1 me:0']],
  ])
  void loop.stop()
})

test('a fetch loop takes what was set aside of its tasks first, unless they are held, and looks there again when it hears of more', async () => {
  const clock = new HandClock()
  const asked: unknown[] = []
  const aside = [[{ token: 'me:0', job: { id: 'j-1', data: { a: 1 } } }], [], []]
  let waits = 0
  const held = new Set<string>()
  const isHeld = (task: string): boolean => held.has(task)
  const source = {
    claim: () => Promise.resolve({ jobs: [], dueAt: Number(asked.push('claim')) * 0 }),
    claimAside: (_: unknown, tasks: readonly string[]) => {
      asked.push(tasks)
      return Promise.resolve(aside.shift() ?? [])
    },
    waitForWork: () => {
      waits++
      return new Promise(() => {})
    },
    stopWaiting: () => {},
    reclaimExpired: () => Promise.resolve(),
  }
  const of = { queue: 'q', pool: 'default', limit: 1, lease: 1000, name: 'me', isOrdered: true }
  const host = { room: () => 1, mayReclaim: () => Promise.resolve(false), look() {}, fetched() {}, isHeld }
  const loop = new FetchLoop({ ...of, tasks: ['mail', 'sms'] }, source as never, host as never, clock)
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  loop.start()
  await turn()
  expect(asked).toEqual([['mail', 'sms'], ['mail', 'sms'], 'claim'])
  loop.lookAside('unknown')
  loop.lookAside('sms')
  await turn()
  expect(asked.slice(3)).toEqual([['sms'], 'claim'])
  held.add('sms')
  loop.lookAside('sms')
  await turn()
  expect(asked.slice(5)).toEqual(['claim'])
  // The wait that was cut short goes on in the store: one connection is not asked twice.
  expect(waits).toBe(1)
  void loop.stop()
})
