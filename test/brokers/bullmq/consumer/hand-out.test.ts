/** Fetched jobs that wait for a thread. */
import { expect, test } from 'vitest'
import { HandOut } from '../../../../src/brokers/bullmq/consumer/hand-out.ts'
import type { Lease } from '../../../../src/brokers/bullmq/consumer/leases.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

function handOut() {
  const clock = new HandClock()
  const [back, gone, looks]: [string[], string[], string[]] = [[], [], []]
  const [held, aside] = [new Set<string>(), [] as string[]]
  const host = {
    isBack: ({ id }: Lease) => void gone.push(id),
    look: (pool: string) => void looks.push(pool),
    isHeld: (task: string) => held.has(task),
    setLeaseAside: ({ id }: Lease) => void aside.push(id),
  }
  const source = { putBack: ({ id }: Lease) => Promise.resolve(void back.push(id)) }
  const leaseOf = (seq: number, priority = 0): Lease => {
    const job = recordOf(seq, { priority })
    const loop = { of: { pool: 'default' }, source }
    return { job, id: `j-${seq}`, loop, data: { a: seq }, bufferedAt: 0 } as unknown as Lease
  }
  const made = new HandOut({ clock, wake: () => {} }, new Retries(clock, isRefusal), host)
  made.start()
  return { clock, made, leaseOf, back, gone, looks, held, aside }
}

test('fetched jobs are shown once all that come in one turn have their places: by priority, then by age', () => {
  const { clock, made, leaseOf } = handOut()
  for (const lease of [leaseOf(3), leaseOf(1), leaseOf(2, 5)]) made.enter(lease)
  expect(made.peek('default')).toBeUndefined()
  clock.advance(0)
  const taken = [1, 2, 3].map(() => made.claim('default')?.id)
  expect(taken).toEqual(['j-2', 'j-1', 'j-3'])
})

test('a job that has waited for too long behind one that came later and is more urgent is put back, with all others of its pool', async () => {
  const { clock, made, leaseOf, back, gone, looks } = handOut()
  made.enter(leaseOf(1))
  clock.advance(900)
  made.enter(leaseOf(2, 5))
  clock.advance(99)
  expect(made.isAsked('default')).toBe(true)
  clock.advance(501)
  await new Promise((resolve) => setImmediate(resolve))
  expect([made.size, made.isAsked('default')]).toEqual([0, false])
  // The last one first: what is put back comes to stand in front.
  expect([back, gone]).toEqual([
    ['j-1', 'j-2'],
    ['j-1', 'j-2'],
  ])
  // A thread that asks again has more fetched.
  expect(made.peek('default')).toBeUndefined()
  expect([made.isAsked('default'), looks]).toEqual([true, ['default']])
})

test('jobs of a task that is held are not shown, whether they come then or waited already', () => {
  const { clock, made, leaseOf, held, aside } = handOut()
  const [first, second] = [leaseOf(1), leaseOf(2)]
  const { name } = first.job.entry.task
  made.enter(first)
  held.add(name)
  expect(made.hold(name).map(({ id }) => id)).toEqual(['j-1'])
  made.enter(second)
  made.enterAgain(first)
  clock.advance(0)
  expect([made.peek('default'), made.size, aside]).toEqual([undefined, 0, ['j-2', 'j-1']])
})

test('jobs that come while their process stops go back with those before them, in one order', async () => {
  const { made, leaseOf, back } = handOut()
  made.enter(leaseOf(1))
  made.close()
  made.enter(leaseOf(2))
  made.enter(leaseOf(3))
  made.putAllBack()
  // One that had to be asked about first.
  made.enter(leaseOf(4))
  await new Promise((resolve) => setImmediate(resolve))
  expect(back).toEqual(['j-3', 'j-2', 'j-1', 'j-4'])
})
