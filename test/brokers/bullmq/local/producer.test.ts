/** In which order jobs go to the store. */
import { expect, test } from 'vitest'
import type { Leases } from '../../../../src/brokers/bullmq/consumer/leases.ts'
import { LocalJobs } from '../../../../src/brokers/bullmq/local/local-jobs.ts'
import { Producer } from '../../../../src/brokers/bullmq/local/producer.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import type { NewJob } from '../../../../src/brokers/bullmq/store/stored-job.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import type { JobRecord } from '../../../../src/rules/job-record.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

function producerWith(insert: (jobs: readonly NewJob[]) => Promise<readonly string[]>) {
  const clock = Object.assign(new HandClock(), {
    soon: (callback: () => void) => void setImmediate(callback),
  })
  const asked: string[] = []
  const names = (given: readonly NewJob[]): string => given.map(({ id }) => id.replace('j-', '')).join(' ')
  const store = {
    isOrdered: true,
    insert: (given: readonly NewJob[]) => {
      asked.push(`insert ${names(given)}`)
      return insert(given)
    },
    release: (job: NewJob) => Promise.resolve(void asked.push(`release ${names([job])}`)),
  }
  const engine = { clock, idPrefix: 'j-', retention: { count: 10, age: 1000 }, settled: () => {} }
  const leases = { byJob: new Map() } as unknown as Leases
  const local = new LocalJobs(engine as never, leases, { expired: () => {}, leftBatch: () => {} })
  const producer = new Producer({
    store: store as never,
    retries: new Retries(clock, isRefusal),
    clock,
    local,
  })
  const jobs = [1, 2, 3].map((seq) => {
    const job = recordOf(seq)
    job.state = 'held'
    local.accept(job)
    return job
  }) as [JobRecord, JobRecord, JobRecord]
  producer.open()
  return { clock, asked, local, producer, jobs }
}

/** What is due in this turn of the event loop is through. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

const ids = (jobs: readonly NewJob[]): Promise<readonly string[]> => Promise.resolve(jobs.map(({ id }) => id))

test('a job that was written while its response was open comes forward after those that were accepted before it', async () => {
  const arrived = Promise.withResolvers<void>()
  const { asked, local, producer, jobs } = producerWith((given) => arrived.promise.then(() => ids(given)))
  const [first, second, third] = jobs
  third.more.storing = Promise.withResolvers<void>()
  producer.hold(third)
  await turn()
  expect(asked).toEqual(['insert 3'])
  // The response is over before the store has answered.
  for (const job of jobs) {
    if (local.released(job)) producer.release(job)
    else producer.add(job)
  }
  arrived.resolve()
  await producer.settle(60_000)
  expect(asked).toEqual(['insert 3', 'insert 1 2', 'release 3'])
  expect([first, second, third].map((job) => local.at(job))).toEqual(
    jobs.map(() => ({ at: 'stored', isHeld: false })),
  )
})

test('a job that is known to have come is not written again when the answer to its being written got lost', async () => {
  const lost = Promise.withResolvers<readonly string[]>()
  const answers = [lost.promise]
  const { clock, asked, local, producer, jobs } = producerWith((given) => answers.shift() ?? ids(given))
  for (const job of jobs) producer.add(job)
  await turn()
  // Another process tells of its end.
  local.arrived(jobs[1])
  lost.reject(new Error('The connection is closed.'))
  await turn()
  clock.advance(1000)
  await turn()
  expect(asked).toEqual(['insert 1 2 3', 'insert 1 3'])
  producer.close()
})

test('a job that was to be written as held goes after those before it when its response is over first', async () => {
  const { asked, producer, jobs } = producerWith(ids)
  const [, , third] = jobs
  third.more.storing = Promise.withResolvers<void>()
  producer.hold(third)
  for (const job of jobs) producer.add(job)
  await producer.settle(60_000)
  expect(asked).toEqual(['insert 1 2 3'])
})

test('a held job lies in the store for its delay besides, which so counts from when another process takes it up', async () => {
  const waits: number[] = []
  const { producer, jobs } = producerWith((given) => {
    waits.push(...given.map(({ delay }) => delay))
    return ids(given)
  })
  const [plain, delayed] = jobs
  delayed.more.delay = 3_600_000
  producer.hold(plain)
  producer.hold(delayed)
  await producer.settle(60_000)
  expect(waits).toEqual([60_000, 3_660_000])
})
