/** Tiny jobs through one thread, all contestants in one process and in turn: how many a second. */
import { fileURLToPath } from 'node:url'
import { createRuntime } from 'aftertask'
import { FixedThreadPool } from 'poolifier'
import { Tinypool } from 'tinypool'
import workerpool from 'workerpool'
import { sandbox } from './kit/bullmq-sandbox.ts'
import { type Bar, type Findings, figure } from './kit/findings.ts'
import { collect } from './kit/garbage.ts'
import { piscinaFor } from './kit/naive.ts'
import { until } from './kit/pairs.ts'
import { spread } from './kit/statistics.ts'
import { noop } from './tasks.ts'

const ROUNDS = 5

/** Who takes part: runs so many jobs and resolves when every one is done. */
export interface Runner {
  readonly name: string
  /** Jobs in a round: fewer for the slow, so that a round stays short. */
  readonly jobs: number
  run(jobs: number): Promise<unknown>
  close(): Promise<unknown>
}

/** Measures the row. */
export default async function tiny(): Promise<Findings> {
  const bullmq = await sandbox()
  const runners = [...ours(), ...peers(), ...(typeof bullmq === 'string' ? [] : [bullmq])]
  for (const { run, jobs } of runners) await run(jobs / 10)
  const rates = runners.map((): number[] => [])
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { run, jobs }] of runners.entries()) {
      collect()
      const began = performance.now()
      await run(jobs)
      rates[index]?.push((jobs * 1000) / (performance.now() - began))
    }
  }
  for (const { close } of runners) await close()
  const of = (name: string): number[] => rates[runners.findIndex((runner) => runner.name === name)] ?? []
  const ratio = (peer: string, bar?: Bar): ReturnType<typeof figure> => {
    const theirs = of(peer)
    const ratios = of('aftertask').map((rate, round) => rate / (theirs[round] ?? Number.NaN))
    return figure('aftertask', `rate, of ${peer}’s`, 'x', spread(ratios), bar)
  }
  return {
    figures: [
      ratio('Piscina', { atLeast: 40 }),
      ratio('Piscina, 64 at a time'),
      ratio('poolifier', { atLeast: 4 }),
      ...runners.map(({ name }, index) =>
        figure(
          name,
          'rate',
          'jobs/s',
          spread(rates[index] ?? []),
          name === 'aftertask' ? { aim: 400_000 } : undefined,
        ),
      ),
    ],
    charts: [{ what: 'rate', label: 'empty jobs a second', logarithmic: true }],
    notes: [
      `The same empty function everywhere, ${ROUNDS} rounds in turn. Jobs in a round: ${runners.map(({ name, jobs }) => `${name} ${jobs.toLocaleString('en')}`).join('; ')}.`,
      'All jobs of a round are handed over at once, but where it says otherwise. The peers return a promise for each job, which is awaited; aftertask makes one only when asked: "each awaited" asks for all of them.',
      ...(typeof bullmq === 'string' ? [bullmq] : []),
    ],
  }
}

function ours(): Runner[] {
  const runtime = createRuntime({ tasks: [noop], pool: { threads: 1 }, maxPending: 1_000_000 })
  const close = (): Promise<unknown> => runtime.stop()
  return [
    {
      name: 'aftertask',
      jobs: 200_000,
      run(jobs): Promise<void> {
        for (let job = 0; job < jobs; job++) runtime.enqueue('noop')
        return until(() => runtime.stats().pending === 0)
      },
      close,
    },
    {
      name: 'aftertask, each awaited',
      jobs: 200_000,
      run: (jobs) => Promise.all(Array.from({ length: jobs }, () => runtime.enqueue('noop').settled)),
      close,
    },
  ]
}

function peers(): Runner[] {
  const file = (name: string): string => fileURLToPath(new URL(`./workers/${name}.ts`, import.meta.url))
  const all = (jobs: number, run: () => PromiseLike<unknown>): Promise<unknown> =>
    Promise.all(Array.from({ length: jobs }, run))
  const piscina = piscinaFor('noop')
  const tinypool = new Tinypool({ filename: file('noop'), minThreads: 1, maxThreads: 1 })
  const pool = workerpool.pool(file('workerpool-noop'), {
    minWorkers: 1,
    maxWorkers: 1,
    workerType: 'thread',
  })
  const poolifier = new FixedThreadPool(1, file('poolifier-noop'))
  return [
    {
      name: 'poolifier',
      jobs: 100_000,
      run: (jobs) => all(jobs, () => poolifier.execute()),
      close: () => poolifier.destroy(),
    },
    {
      name: 'workerpool',
      jobs: 20_000,
      run: (jobs) => all(jobs, () => pool.exec('noop')),
      close: async () => pool.terminate(),
    },
    {
      name: 'tinypool',
      jobs: 20_000,
      run: (jobs) => all(jobs, () => tinypool.run(null)),
      close: () => tinypool.destroy(),
    },
    {
      name: 'Piscina',
      jobs: 20_000,
      run: (jobs) => all(jobs, () => piscina.run(null)),
      close: () => piscina.destroy(),
    },
    {
      name: 'Piscina, 64 at a time',
      jobs: 10_000,
      run: (jobs) => aFewAtATime(jobs, 64, () => piscina.run(null)),
      close: async () => undefined,
    },
  ]
}

/** As a server does that never has more than so many under way. */
async function aFewAtATime(jobs: number, most: number, run: () => Promise<unknown>): Promise<void> {
  let left = jobs
  const one = async (): Promise<void> => {
    while (left-- > 0) await run()
  }
  await Promise.all(Array.from({ length: most }, one))
}
