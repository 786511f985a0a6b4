/** The SQLite journal: jobs stored a second, tiny jobs end to end, and a million that wait on disk. */
import { spawn, spawnSync } from 'node:child_process'
import { once as next } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { createRuntime } from 'aftertask'
import { sqliteBroker } from 'aftertask/sqlite'
import { freePort } from '../test/kit/free-port.ts'
import type { Filled, Restarted } from './journal-million.ts'
import { inChild } from './kit/child.ts'
import { type Figure, type Findings, figure } from './kit/findings.ts'
import { spread } from './kit/statistics.ts'
import { count } from './tasks.ts'

const WRITERS = 400
const IN_FLIGHT = 2000
const ROUNDS = 5
const A_ROUND = 2000

/** Measures the row. */
export default async function journal(): Promise<Findings> {
  const redis = await startRedis()
  try {
    const rows = await rates(redis)
    const folder = mkdtempSync(join(tmpdir(), 'journal-million-'))
    const filled = await inChild<Filled>('journal-million.ts', ['fill', join(folder, 'jobs.sqlite')])
    const restarted = await inChild<Restarted>('journal-million.ts', ['restart', join(folder, 'jobs.sqlite')])
    rmSync(folder, { recursive: true })
    const once = (value: number): ReturnType<typeof spread> => spread([value])
    return {
      figures: [
        ...rows,
        figure('aftertask/sqlite', 'memory of a million queued jobs', 'MB', once(filled.beyondWorked), {
          atMost: 150,
        }),
        figure(
          'aftertask/sqlite',
          'memory beyond a process that did nothing',
          'MB',
          once(filled.beyondFresh),
        ),
        figure(
          'aftertask/sqlite',
          'restart to the first job run, a million queued',
          'ms',
          once(restarted.milliseconds),
          {
            atMost: 1000,
          },
        ),
      ],
      charts: [{ what: 'stored', label: 'jobs stored a second, 400 in flight' }],
      notes: [
        `Stored: ${WRITERS} callers, each adding its next job once the last is stored, synchronous=FULL; tiny: ${IN_FLIGHT} callers, each waiting for the end of its job, one thread.`,
        'Memory: resident, after a full garbage collection, beyond the same runtime with an empty queue: once it has run 200,000 jobs, and before it has run any. The difference is the young generation, which V8 grows in any busy process.',
        redis === undefined
          ? 'BullMQ was left out: there is no redis-server.'
          : 'BullMQ: addBulk of 400 jobs on a local Redis without persistence.',
      ],
    }
  } finally {
    redis?.stop()
  }
}

async function rates(redis: Redis | undefined): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'journal-rate-'))
  const stored: number[] = []
  const delays: number[] = []
  const tiny: number[] = []
  const bulk: number[] = []
  const broker = sqliteBroker({ file: join(folder, 'jobs.sqlite') })
  const most = Number.POSITIVE_INFINITY
  const runtime = createRuntime({
    tasks: [count],
    broker,
    pool: { threads: 1 },
    maxPending: most,
    log: false,
  })
  await runtime.ready()
  // First, while nothing is queued before them.
  for (let round = 0; round < ROUNDS; round++) {
    tiny.push(await rate(IN_FLIGHT, (n) => runtime.enqueue(count, { n }).settled))
  }
  runtime.pause()
  for (let round = 0; round < ROUNDS; round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    stored.push(await rate(WRITERS, (n) => runtime.enqueue(count, { n }).stored))
    delay.disable()
    delays.push(delay.percentile(99) / 1e6)
    if (redis !== undefined) bulk.push(WRITERS * (await rate(1, () => redis.addBulk(WRITERS))))
  }
  await runtime.stop({ timeout: 1000 })
  rmSync(folder, { recursive: true })
  const ratios = stored.map((value, index) => value / (bulk[index] ?? value))
  return [
    figure('aftertask/sqlite', 'stored', 'jobs/s', spread(stored), { atLeast: 50_000 }),
    ...(redis === undefined
      ? []
      : [
          figure('BullMQ addBulk', 'stored', 'jobs/s', spread(bulk)),
          figure('aftertask/sqlite', 'stored, of BullMQ’s', 'x', spread(ratios), { atLeast: 3 }),
        ]),
    figure('aftertask/sqlite', 'event-loop delay while storing, p99', 'ms', spread(delays), { atMost: 10 }),
    figure('aftertask/sqlite', 'tiny jobs end to end', 'jobs/s', spread(tiny), { atLeast: 25_000 }),
  ]
}

/** Calls a second, so many at a time. */
async function rate(callers: number, call: (n: number) => Promise<unknown>): Promise<number> {
  let calls = 0
  let isOver = false
  const caller = async (): Promise<void> => {
    while (!isOver) {
      await call(calls)
      calls++
    }
  }
  const began = performance.now()
  const all = Promise.all(Array.from({ length: callers }, caller))
  await pause(A_ROUND)
  isOver = true
  const found = (calls / (performance.now() - began)) * 1000
  await all
  return found
}

interface Redis {
  addBulk(jobs: number): Promise<unknown>
  stop(): void
}

async function startRedis(): Promise<Redis | undefined> {
  if (spawnSync('redis-server', ['--version']).error !== undefined) return undefined
  const { Queue } = await import('bullmq')
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await next(server.stdout, 'data')
  const queue = new Queue('bench', { connection: { host: '127.0.0.1', port } })
  await queue.waitUntilReady()
  return {
    addBulk: (jobs) =>
      queue.addBulk(Array.from({ length: jobs }, (_, n) => ({ name: 'count', data: { n }, opts: {} }))),
    stop: () => void queue.close().finally(() => server.kill()),
  }
}
