/** The rules that every broker keeps, checked through the port alone. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { JobRecord } from '../../rules/job-record.ts'
import { fromWireError } from '../../rules/wire-error.ts'
import type { Bench } from './bench.ts'

/** One rule: what the broker does, and what shows whether it does. */
export interface Rule {
  /** Follows "the … broker". */
  readonly name: string
  check(bench: Bench): Promise<void>
}

const SEQ_OF = (job: JobRecord): number => job.seq

/** These jobs, in this order. */
function expectJobs(actual: readonly JobRecord[], expected: readonly JobRecord[]): void {
  deepStrictEqual(actual.map(SEQ_OF), expected.map(SEQ_OF))
}

/** These jobs, in any order. */
function expectSet(actual: readonly JobRecord[], expected: readonly JobRecord[]): void {
  deepStrictEqual(new Set(actual.map(SEQ_OF)), new Set(expected.map(SEQ_OF)))
}

async function expectNext(bench: Bench, expected: JobRecord, pool?: string): Promise<JobRecord> {
  const job = await bench.claim(pool)
  strictEqual(job.seq, expected.seq)
  strictEqual(job.state, 'running')
  return job
}

async function expectNothingElse(bench: Bench): Promise<void> {
  ok(await bench.nothingElse(), 'a job can be claimed that has to wait')
}

const order: readonly Rule[] = [
  {
    name: 'runs jobs of one priority in the order added',
    async check(bench) {
      const jobs = bench.addAll(5)
      expectJobs(await bench.runAll(5), jobs)
    },
  },
  {
    name: 'runs the job with the larger priority first',
    async check(bench) {
      const low = bench.add({ priority: -1 })
      const high = bench.add({ priority: 5 })
      const plain = bench.add()
      await bench.available(3)
      expectJobs(await bench.runAll(3), [high, plain, low])
    },
  },
  {
    name: 'puts a job back at its old place',
    async check(bench) {
      const [first] = bench.addAll(2)
      await bench.available(2)
      const claimed = await bench.claim()
      claimed.attempts--
      bench.broker.attempts.putBack(claimed, null)
      strictEqual(claimed.state, 'available')
      await expectNext(bench, first as JobRecord)
    },
  },
  {
    name: 'keeps the jobs of each pool apart',
    async check(bench) {
      const io = bench.add({ task: 'io' })
      const plain = bench.add()
      await expectNext(bench, plain)
      await expectNext(bench, io, 'io')
    },
  },
  {
    name: 'passes over the jobs of a task that is held back, where it says that it can',
    async check(bench) {
      const { ready } = bench.broker
      const entry = bench.entryOf('single')
      const held = bench.add({ task: 'single' })
      const other = bench.add()
      await bench.available(2)
      if (!ready.holdsTasks) return
      ready.hold(entry, true)
      bench.complete(await expectNext(bench, other))
      await expectNothingElse(bench)
      strictEqual(held.state, 'available')
      ready.hold(entry, false)
      await expectNext(bench, held)
    },
  },
]

const batches: readonly Rule[] = [
  {
    name: 'holds the jobs of a batch until the response is over',
    async check(bench) {
      const batch = bench.batch()
      const held = bench.add({ batch })
      const other = bench.add()
      await expectNext(bench, other)
      strictEqual(held.state, 'held')
      bench.settleResponse(batch, held)
      await expectNext(bench, held)
    },
  },
  {
    name: 'runs the jobs of a batch one after the other',
    async check(bench) {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      bench.settleResponse(batch, first, second)
      await expectNext(bench, first)
      await expectNothingElse(bench)
      bench.complete(first)
      await expectNext(bench, second)
    },
  },
  {
    name: 'keeps the order of a batch when a job in the middle is cancelled',
    async check(bench) {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const third = bench.add({ batch, after: second })
      bench.settleResponse(batch, first, second, third)
      await expectNext(bench, first)
      bench.broker.attempts.finish(second, { state: 'cancelled' })
      await bench.over(second)
      await expectNothingElse(bench)
      bench.complete(first)
      await expectNext(bench, third)
    },
  },
  {
    name: 'goes on with a batch after a job that is dead',
    async check(bench) {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      bench.settleResponse(batch, first, second)
      bench.fail(await bench.claim())
      await expectNext(bench, second)
    },
  },
  {
    name: 'skips the rest of a batch after a dead job when the batch is to stop',
    async check(bench) {
      const batch = bench.batch('stop')
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const third = bench.add({ batch, after: second })
      bench.settleResponse(batch, first, second, third)
      bench.fail(await bench.claim())
      await bench.over(third)
      deepStrictEqual([first.state, second.state, third.state], ['dead', 'skipped', 'skipped'])
      strictEqual(third.extras?.reason, 'an earlier job of its batch failed')
    },
  },
  {
    name: 'lets a job that is detached from its batch run whatever the job before it does',
    async check(bench) {
      const batch = bench.batch()
      const first = bench.add({ batch })
      const second = bench.add({ batch, after: first })
      const third = bench.add({ batch, after: second })
      bench.broker.intake.detach(second)
      bench.settleResponse(batch, first, second, third)
      expectSet([await bench.claim(), await bench.claim()], [first, second])
      await expectNothingElse(bench)
      bench.complete(first)
      await expectNext(bench, third)
    },
  },
]

const keys: readonly Rule[] = [
  {
    name: 'lets one job of a key run at a time, in the order added',
    async check(bench) {
      const first = bench.add({ key: 'a' })
      const second = bench.add({ key: 'a' })
      const other = bench.add({ key: 'b' })
      expectSet([await bench.claim(), await bench.claim()], [first, other])
      await expectNothingElse(bench)
      bench.complete(first)
      await expectNext(bench, second)
    },
  },
  {
    name: 'leaves a key with a job that is to be tried again',
    async check(bench) {
      const first = bench.add({ key: 'a' })
      const second = bench.add({ key: 'a' })
      bench.retry(await bench.claim(), 5)
      await expectNext(bench, first)
      bench.complete(first)
      await expectNext(bench, second)
    },
  },
  {
    name: 'passes over a job of a key that was cancelled while it waited',
    async check(bench) {
      const first = bench.add({ key: 'a' })
      const second = bench.add({ key: 'a' })
      const third = bench.add({ key: 'a' })
      await bench.claim()
      bench.broker.attempts.finish(second, { state: 'cancelled' })
      await bench.over(second)
      bench.complete(first)
      await expectNext(bench, third)
    },
  },
  {
    name: 'knows which job holds a unique key while the job is unfinished',
    async check(bench) {
      const { intake } = bench.broker
      const job = bench.add({ unique: 'u' })
      strictEqual(intake.holderOf('u'), job)
      bench.complete(await bench.claim())
      await bench.over(job)
      strictEqual(intake.holderOf('u'), undefined)
    },
  },
  {
    name: 'gives a unique key to the job that takes it, where it says that it can',
    async check(bench) {
      const { intake } = bench.broker
      if (!intake.ownsKeys) return
      const job = bench.add()
      job.more.uniqueKey = 'u'
      intake.takeKey(job)
      strictEqual(intake.holderOf('u'), job)
    },
  },
]

const time: readonly Rule[] = [
  {
    name: 'keeps a job until it is due',
    async check(bench) {
      const before = bench.clock.now()
      const late = bench.add({ delay: 30 })
      strictEqual(late.state, 'scheduled')
      await expectNext(bench, late)
      ok(bench.clock.now() - before >= 28, 'the job could be claimed too early')
    },
  },
  {
    name: 'tries a job again when it is due',
    async check(bench) {
      const job = bench.add()
      bench.retry(await bench.claim(), 10)
      strictEqual(job.state, 'retryable')
      await expectNext(bench, job)
    },
  },
  {
    name: 'ends a job as dead that has waited for longer than its queueTimeout',
    async check(bench) {
      const job = bench.add({ delay: 60_000, queueTimeout: 5 })
      await bench.over(job)
      strictEqual(job.state, 'dead')
      const error = job.extras?.errors?.at(-1)
      const told = error === undefined || error instanceof Error ? error : fromWireError(error)
      strictEqual(Reflect.get(told ?? {}, 'code'), 'ERR_QUEUE_TIMEOUT')
    },
  },
  {
    name: 'runs no more jobs of a task at once than its concurrency',
    async check(bench) {
      const one = bench.add({ task: 'single' })
      const two = bench.add({ task: 'single' })
      const other = bench.add()
      await bench.available(3)
      expectSet([await bench.claim(), await bench.claim()], [one, other])
      await expectNothingElse(bench)
      bench.complete(one)
      await expectNext(bench, two)
    },
  },
]

const ends: readonly Rule[] = [
  {
    name: 'reports the end of a job exactly once, with its result and its run time',
    async check(bench) {
      const job = bench.add()
      bench.complete(await bench.claim(), '{"a":1}', 12)
      await bench.over(job)
      bench.broker.attempts.finish(job, { state: 'cancelled' })
      await bench.barrier()
      strictEqual(bench.told.filter((told) => told === job).length, 1)
      deepStrictEqual([job.state, job.result], ['completed', '{"a":1}'])
      strictEqual(Math.round(bench.ran.get(job) ?? -1), 12)
    },
  },
  {
    name: 'ends a job that is cancelled before it starts',
    async check(bench) {
      const job = bench.add()
      const other = bench.add()
      bench.broker.attempts.finish(job, { state: 'cancelled' })
      await bench.over(job)
      strictEqual(bench.ran.get(job), 0)
      await expectNext(bench, other)
    },
  },
  {
    name: 'removes a job that is over, and none that is not',
    async check(bench) {
      const job = bench.add()
      const { jobs } = bench.broker
      await bench.available(1)
      strictEqual(await jobs.remove(job), false)
      bench.complete(await bench.claim())
      await bench.over(job)
      strictEqual(await jobs.remove(job), true)
      deepStrictEqual(await jobs.list({}), [])
      strictEqual((await jobs.counts()).completed, 0)
    },
  },
  {
    name: 'lets a dead job start over',
    async check(bench) {
      const job = bench.add()
      bench.fail(await bench.claim())
      await bench.over(job)
      ok(bench.broker.jobs.isKept(job), 'a dead job is not kept')
      void bench.broker.jobs.revive(job)
      const again = await expectNext(bench, job)
      strictEqual(again.failures, 0)
    },
  },
]

const questions: readonly Rule[] = [
  {
    name: 'counts jobs by state and lists them newest first',
    async check(bench) {
      const { jobs } = bench.broker
      bench.addAll(2)
      const batch = bench.batch()
      const held = bench.add({ batch })
      const late = bench.add({ delay: 60_000 })
      await bench.available(2)
      const counts = await jobs.counts()
      deepStrictEqual([counts.available, counts.held, counts.scheduled, counts.completed], [2, 1, 1, 0])
      expectJobs(await jobs.list({ state: ['held', 'scheduled'] }), [late, held])
      expectJobs(await jobs.list({ limit: 1 }), [late])
      deepStrictEqual(await jobs.list({ task: 'io' }), [])
    },
  },
  {
    name: 'tells the attempts of a job that failed, oldest first',
    async check(bench) {
      const job = bench.add()
      bench.retry(await bench.claim(), 1)
      bench.fail(await bench.claim())
      await bench.over(job)
      const history = await bench.broker.jobs.history(job)
      deepStrictEqual(
        history.map(({ attempt, outcome, error }) => [attempt, outcome, error?.message]),
        [
          [1, 'failed', 'not yet'],
          [2, 'failed', 'no'],
        ],
      )
    },
  },
]

/** All of them. */
export const rules: readonly Rule[] = [...order, ...batches, ...keys, ...time, ...ends, ...questions]
