/** The rules of what handlers say. */
import { deepStrictEqual } from 'node:assert/strict'
import type { JobRecord } from '../../rules/job-record.ts'
import { fittingLog, type KeptLine, type KeptLog } from '../../rules/log-lines.ts'
import type { Bench } from './bench.ts'
import type { Rule } from './rules.ts'

const LIMITS = { lines: 3, bytes: 10_000 }

function line(number: number, attempt = 1, more: Partial<KeptLine> = {}): KeptLine {
  return {
    at: 1_700_000_000_000 + number,
    attempt,
    from: 'log',
    level: 'info',
    message: `line ${number}`,
    ...more,
  }
}

/** A job that runs and has said some lines. */
async function spoken(bench: Bench, lines: readonly KeptLine[], limits = LIMITS): Promise<JobRecord> {
  bench.add()
  const job = await bench.claim()
  for (const one of lines) bench.broker.attempts.log(job, one, limits)
  return job
}

async function keptOf(bench: Bench, job: JobRecord, limits = LIMITS): Promise<KeptLog> {
  return fittingLog(await bench.broker.jobs.logs(job), limits)
}

/** Every broker keeps them. */
export const logRules: readonly Rule[] = [
  {
    name: 'has what a job has said, as it was said and in order, while the job runs and once it is over',
    async check(bench) {
      const lines = [
        line(1, 1, { data: '{"n":1}' }),
        line(2, 1, { from: 'stdout', message: 'two\nlines\n\t{"no":"data"}', data: '"x"' }),
        line(3, 1, { from: 'stderr', level: 'warn', message: '' }),
      ]
      const job = await spoken(bench, lines)
      deepStrictEqual(await keptOf(bench, job), { lines, dropped: 0 })
      bench.complete(job)
      await bench.over(job)
      deepStrictEqual(await keptOf(bench, job), { lines, dropped: 0 })
    },
  },
  {
    name: 'keeps the last lines of a job that says more than its limits, and knows how many are gone',
    async check(bench) {
      const lines = [1, 2, 3, 4, 5].map((number) => line(number))
      const job = await spoken(bench, lines)
      bench.complete(job)
      await bench.over(job)
      deepStrictEqual(await keptOf(bench, job), { lines: lines.slice(2), dropped: 2 })
    },
  },
  {
    name: 'keeps no more bytes of what a job says than its limits, but for its last line',
    async check(bench) {
      const long = [1, 2, 3].map((number) => line(number, 1, { message: String(number).repeat(600) }))
      const limits = { lines: 100, bytes: 1000 }
      const job = await spoken(bench, long, limits)
      bench.complete(job)
      await bench.over(job)
      deepStrictEqual(await keptOf(bench, job, limits), { lines: long.slice(2), dropped: 2 })
    },
  },
  {
    name: 'forgets what a job has said with the job',
    async check(bench) {
      const job = await spoken(bench, [line(1)])
      bench.complete(job)
      await bench.over(job)
      await bench.broker.jobs.remove(job)
      deepStrictEqual(await keptOf(bench, job), { lines: [], dropped: 0 })
    },
  },
]

/** Where jobs outlive the process. */
export const durableLogRules: readonly Rule[] = [
  {
    name: 'has what a job has said when it is opened again, over all of its attempts',
    async check(bench) {
      const job = await spoken(bench, [line(1)])
      const id = bench.idOf(job)
      bench.retry(job, 0)
      const again = await bench.claim()
      bench.broker.attempts.log(again, line(2, 2), LIMITS)
      bench.complete(again)
      await bench.over(job)
      const next = await bench.reopen()
      const found = await next.broker.jobs.find(id)
      deepStrictEqual(found && (await keptOf(next, found)), { lines: [line(1), line(2, 2)], dropped: 0 })
    },
  },
]
