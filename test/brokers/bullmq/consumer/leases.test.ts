/** What is put on record of jobs that belong to this process. */
import { expect, test } from 'vitest'
import { type Lease, Leases } from '../../../../src/brokers/bullmq/consumer/leases.ts'
import { markOf, progressOf } from '../../../../src/brokers/bullmq/store/progress-mark.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

/** What is due in this turn of the event loop is through. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

test('a start that did not come about is not left on record when its note is tried again last', async () => {
  const clock = new HandClock()
  const retries = new Retries(clock, isRefusal)
  const leases = new Leases(clock, retries, 30_000, () => {})
  const notes: (number | undefined)[] = []
  const first = Promise.withResolvers<void>()
  const answers = [first.promise]
  const note = (_lease: Lease, left: string): Promise<void> => {
    notes.push(progressOf(markOf(left)).r)
    return answers.shift() ?? Promise.resolve()
  }
  const job = recordOf(1)
  const loop = { source: { note } }
  const lease = { job, loop, attempts: 0, stalls: 0, history: [], isStartRecorded: false } as unknown as Lease
  const recorded = leases.recordStart(lease)
  await turn()
  leases.takeBack(lease)
  await turn()
  first.reject(new Error('The store is away.'))
  await turn()
  retries.retryNow()
  await recorded
  leases.close()
  expect(notes.at(-1)).toEqual(notes[1])
  expect(notes[0]).not.toEqual(notes[1])
})

test('a job whose lease was not confirmed for its whole length is lost before a thread takes it, whichever timer is late', () => {
  const clock = new HandClock()
  const lost: string[] = []
  const leases = new Leases(clock, new Retries(clock, isRefusal), 30_000, ({ id }) => lost.push(id))
  const loop = { leased: 0 }
  const of = (seq: number, renewedAt: number) =>
    ({ id: `j-${seq}`, job: recordOf(seq), loop, renewedAt, isLost: false }) as unknown as Lease
  const [old, fresh] = [of(1, clock.now() - 30_000), of(2, clock.now() - 29_999)]
  for (const lease of [old, fresh]) leases.add(lease)
  expect([old, fresh].map(({ job }) => leases.isSure(job))).toEqual([false, true])
  expect(lost).toEqual(['j-1'])
  leases.close()
})
