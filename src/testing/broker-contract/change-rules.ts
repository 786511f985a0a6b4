/** The rules of a broker that changes jobs which have not begun. One that cannot says null, and passes. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { JobRecord } from '../../rules/job-record.ts'
import type { Bench } from './bench.ts'
import type { Rule } from './rules.ts'

// Milliseconds: no rule lasts for so long.
const LATE = 600_000

interface ChangeRule {
  readonly name: string
  check(bench: Bench): Promise<void>
}

const whereItCan = ({ name, check }: ChangeRule): Rule => ({
  name: `${name}, where it says that it can`,
  check: async (bench) => (bench.broker.changes === null ? undefined : check(bench)),
})

async function expectNext(bench: Bench, expected: JobRecord): Promise<JobRecord> {
  const job = await bench.claim()
  strictEqual(job.seq, expected.seq)
  return job
}

async function expectState(bench: Bench, job: JobRecord, state: JobRecord['state']): Promise<void> {
  await bench.barrier()
  const { jobs } = bench.broker
  strictEqual((jobs.get(job.seq) ?? (await jobs.find(bench.idOf(job))))?.state, state)
}

/** All of them. */
export const changeRules: readonly Rule[] = [
  {
    name: 'runs a job whose priority was raised before the others',
    async check(bench: Bench) {
      const [first, second, third] = bench.addAll(3) as [JobRecord, JobRecord, JobRecord]
      await bench.available(3)
      ok(await bench.change(third, { priority: 50 }))
      const order = (await bench.runAll(3)).map(({ seq }) => seq)
      deepStrictEqual(order, [third.seq, first.seq, second.seq])
    },
  },
  {
    name: 'runs a job whose priority was lowered, and raised again, at its old place',
    async check(bench: Bench) {
      const [first, second] = bench.addAll(2) as [JobRecord, JobRecord]
      await bench.available(2)
      ok(await bench.change(first, { priority: -50 }))
      ok(await bench.change(first, { priority: 50 }))
      ok(await bench.change(first, { priority: 0 }))
      deepStrictEqual(
        new Set((await bench.runAll(2)).map(({ seq }) => seq)),
        new Set([first.seq, second.seq]),
      )
      ok(await bench.nothingElse(), 'a job can be claimed twice')
    },
  },
  {
    name: 'lets a scheduled job run at once that is made due',
    async check(bench: Bench) {
      const job = bench.add({ delay: LATE })
      await expectState(bench, job, 'scheduled')
      ok(await bench.change(job, { dueAt: bench.clock.now() }))
      bench.complete(await expectNext(bench, job))
      await bench.over(job)
    },
  },
  {
    name: 'keeps a job that is put off, and lets the one behind it go first',
    async check(bench: Bench) {
      const [first, second] = bench.addAll(2) as [JobRecord, JobRecord]
      await bench.available(2)
      ok(await bench.change(first, { dueAt: bench.clock.now() + LATE }))
      await expectState(bench, first, 'scheduled')
      bench.complete(await expectNext(bench, second))
      await bench.over(second)
      ok(await bench.nothingElse(), 'the job runs before its time')
      ok(await bench.change(first, { dueAt: bench.clock.now() }))
      await expectNext(bench, first)
    },
  },
  {
    name: 'lets the next job of a key go on when the one before it is put off',
    async check(bench: Bench) {
      const first = bench.add({ key: 'k' })
      const second = bench.add({ key: 'k' })
      await bench.available(1)
      ok(await bench.change(first, { dueAt: bench.clock.now() + LATE }))
      await expectNext(bench, second)
      ok(await bench.change(first, { dueAt: bench.clock.now() }))
      ok(await bench.nothingElse(), 'two jobs of a key run at one time')
      bench.complete(second)
      await expectNext(bench, first)
    },
  },
  {
    name: 'makes the next attempt of a job at once that is made due',
    async check(bench: Bench) {
      const job = bench.add()
      bench.retry(await bench.claim(), LATE)
      await expectState(bench, job, 'retryable')
      ok(await bench.change(job, { dueAt: bench.clock.now() }))
      const again = await expectNext(bench, job)
      deepStrictEqual([again.attempts, again.failures], [2, 1])
    },
  },
  {
    name: 'gives a job that waits another payload, whatever it waits for',
    async check(bench: Bench) {
      const available = bench.add({ payload: '"old"' })
      const late = bench.add({ payload: '"old"', delay: LATE })
      const batch = bench.batch()
      const held = bench.add({ payload: '"old"', batch })
      await bench.stored(available, late)
      await bench.available(1)
      const payload = { encoded: '"new"' }
      for (const job of [available, late, held]) ok(await bench.change(job, { payload }))
      const before = await expectNext(bench, available)
      strictEqual(before.payload, '"new"')
      bench.complete(before)
      ok(await bench.change(late, { dueAt: bench.clock.now() }))
      strictEqual((await expectNext(bench, late)).payload, '"new"')
      bench.settleResponse(batch, held)
      strictEqual((await expectNext(bench, held)).payload, '"new"')
    },
  },
  {
    name: 'changes nothing of a job that runs or is over',
    async check(bench: Bench) {
      const job = bench.add({ payload: '"old"' })
      await bench.stored(job)
      const running = await bench.claim()
      const change = { priority: 9, dueAt: bench.clock.now() + LATE, payload: { encoded: '"new"' } }
      strictEqual(await bench.change(running, change), false)
      deepStrictEqual([running.state, running.priority, running.payload], ['running', 0, '"old"'])
      bench.complete(running)
      await bench.over(job)
      strictEqual(await bench.change(job, change), false)
      strictEqual(job.state, 'completed')
    },
  },
].map(whereItCan)
