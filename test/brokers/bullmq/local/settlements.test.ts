/** Ends of jobs that other processes run, as the process hears of them that accepted the jobs. */
import { expect, test } from 'vitest'
import { Leases } from '../../../../src/brokers/bullmq/consumer/leases.ts'
import { LocalJobs } from '../../../../src/brokers/bullmq/local/local-jobs.ts'
import { Settlements } from '../../../../src/brokers/bullmq/local/settlements.ts'
import { Records } from '../../../../src/brokers/bullmq/store/job-data.ts'
import { isRefusal } from '../../../../src/brokers/bullmq/store/refusals.ts'
import { Retries } from '../../../../src/brokers/lifecycle/retries.ts'
import { HandClock } from '../../../kit/hand-clock.ts'
import { recordOf } from '../../../kit/records.ts'

/** Three jobs that lie in a store which keeps nothing of them once they are over. */
function settlementsOf() {
  const clock = new HandClock()
  const engine = {
    clock,
    idPrefix: 'j-',
    entries: [],
    retention: { count: 10, age: 1000 },
    settled: () => {},
  }
  const leases = new Leases(clock, new Retries(clock, isRefusal), 1000, () => {})
  const local = new LocalJobs(engine as never, leases, { expired: () => {}, leftBatch: () => {} })
  const store = { directory: { find: () => Promise.resolve(undefined) } }
  const ended: string[] = []
  const events = { endedElsewhere: (_: unknown, id: string) => void ended.push(id) }
  const records = new Records(engine)
  const settlements = new Settlements(store as never, local, records, clock, 'j-', events)
  const jobs = [1, 2, 3].map((seq) => {
    const job = recordOf(seq)
    local.accept(job)
    local.buffered(job)
    local.writing(job, false)
    local.arrived(job)
    return job
  })
  return { settlements, jobs, ended, leases, clock }
}

test('a job that the store keeps nothing of ends as another process has told', async () => {
  const { settlements, jobs, ended, leases } = settlementsOf()
  const told = [
    ['j-1', 'cancelled', 0, null],
    ['j-2', 'skipped', 0, 'an earlier job of its batch failed'],
    ['j-3', 'dead', 3, 'no such mailbox'],
  ]
  settlements.onMessage(JSON.stringify(told))
  await new Promise((resolve) => setImmediate(resolve))
  expect(ended).toEqual(['j-1', 'j-2', 'j-3'])
  expect(jobs.map(({ state, attempts }) => [state, attempts])).toEqual([
    ['cancelled', 0],
    ['skipped', 0],
    ['dead', 3],
  ])
  expect(jobs[1]?.extras?.reason).toBe('an earlier job of its batch failed')
  expect(jobs[2]?.extras?.errors?.[0]?.message).toBe('no such mailbox')
  leases.close()
})

test('a job that two looks miss at one moment is being moved, and is lost only when a later one misses it too', async () => {
  const { settlements, jobs, ended, leases, clock } = settlementsOf()
  const [job] = jobs
  if (job === undefined) throw new Error('there is none')
  await Promise.all([settlements.learn(job, 'j-1'), settlements.learn(job, 'j-1')])
  expect(ended).toEqual([])
  clock.advance(5000)
  await settlements.learn(job, 'j-1')
  expect([ended, job.extras?.reason]).toEqual([['j-1'], 'lost'])
  leases.close()
})
