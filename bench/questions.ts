/**
 * Asks about a million jobs in a journal, and about a hundred thousand in Redis (REDIS_URL) and PostgreSQL (POSTGRES_URL) where these
 * are given: `node bench/questions.ts`. Each figure is the median of five in milliseconds; `stall` is the longest that the event
 * loop did not turn meanwhile.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { DatabaseSync } from 'node:sqlite'
import { type Broker, createRuntime, defineTask } from 'aftertask'
import { bullmqBroker } from 'aftertask/bullmq'
import { sqliteBroker } from 'aftertask/sqlite'
import { z } from 'zod'

const handler = new URL('./workers/noop.ts', import.meta.url)
const payload = z.unknown()
const tasks = ['mail', 'photo', 'report'].map((name) => defineTask({ name, payload, handler }))
const TIMES = 5

function start(broker: Broker) {
  const runtime = createRuntime({
    ...{ tasks, broker, pool: { threads: 1 }, log: false, maxPending: Number.POSITIVE_INFINITY },
    retention: { count: 1e7, age: Number.POSITIVE_INFINITY },
  })
  runtime.pause()
  return runtime
}

async function ask(name: string, runtime: ReturnType<typeof start>): Promise<void> {
  const { jobs } = await runtime.jobs({ limit: 300 })
  const cursor = (await runtime.jobs({ limit: 50 })).next
  const questions: [string, () => Promise<unknown>][] = [
    ['first page', () => runtime.jobs({ limit: 50 })],
    ['next page', () => runtime.jobs({ limit: 50, ...(cursor !== undefined && { cursor }) })],
    ['oldest first', () => runtime.jobs({ limit: 50, order: 'oldest' })],
    ['dead', () => runtime.jobs({ state: 'dead', limit: 50 })],
    ['available of a task', () => runtime.jobs({ state: 'available', task: 'report', limit: 50 })],
    ['by payload', () => runtime.jobs({ payload: { user: 'u77' }, limit: 20 })],
    ['by payload, none', () => runtime.jobs({ payload: { user: 'nobody' }, limit: 20 })],
    ['by text, none', () => runtime.jobs({ text: 'nowhere', limit: 20 })],
    ['one job', () => runtime.job(jobs[200]?.id ?? jobs[0]?.id ?? 'none')],
    ['counts', () => runtime.counts()],
    ['counts by task', () => runtime.counts({ by: 'task' })],
    ['oldest age', () => runtime.oldestAge()],
    ['failures', () => runtime.failures()],
  ]
  for (const [question, call] of questions) {
    const times: number[] = []
    const delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
    for (let time = 0; time < TIMES; time++) {
      const began = performance.now()
      await call()
      times.push(performance.now() - began)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    delays.disable()
    const median = times.sort((one, other) => one - other)[Math.floor(TIMES / 2)] ?? 0
    console.log(
      `${name.padEnd(10)} ${question.padEnd(20)} ${median.toFixed(1).padStart(8)} ms   stall ${(delays.max / 1e6).toFixed(1)} ms`,
    )
  }
}

async function journal(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'questions-'))
  const file = join(folder, 'jobs.sqlite')
  try {
    const first = start(sqliteBroker({ file, durability: 'process' }))
    await first.enqueue('mail', {}).stored
    await first.enqueue('photo', {}).stored
    await first.enqueue('report', {}).stored
    await first.stop({ timeout: 0 })
    const db = new DatabaseSync(file)
    const [{ run }] = db.prepare('SELECT max(run) AS run FROM runs').all() as [{ run: number }]
    // Nine hundred thousand wait, fifty thousand each are dead and completed; one in a thousand is a report.
    const error = JSON.stringify({
      name: 'Error',
      message: 'Order 4711 is gone',
      stack:
        'Error: Order 4711 is gone\n    at charge (/app/tasks/charge.ts:12:9)\n    at run (/app/node_modules/x/y.js:1:1)',
    }).replaceAll("'", "''")
    db.exec(`WITH RECURSIVE s (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < 999999)
      INSERT INTO jobs (n, task, state, owner, rank, priority, accepted, ready, attempts, payload, finished, error)
      SELECT ${run} * 8589934592 + 1000 + i, CASE WHEN i % 1000 = 7 THEN 3 ELSE 1 + i % 2 END,
        CASE i % 20 WHEN 3 THEN 9 WHEN 4 THEN 6 ELSE 3 END, 0, i, 0, unixepoch() * 1000 - 1000000 + i, unixepoch() * 1000 - 1000000 + i, 1,
        CASE WHEN i % 20 <> 4 THEN '{"user":"u' || (i % 5000) || '","mail":"user' || i || '@example.org","n":' || i || '}' END,
        CASE WHEN i % 20 IN (3, 4) THEN unixepoch() * 1000 - 1000000 + i END, CASE WHEN i % 20 = 3 THEN '${error}' END FROM s`)
    db.close()
    const runtime = start(sqliteBroker({ file, durability: 'process' }))
    await runtime.ready()
    await ask('sqlite 1M', runtime)
    await runtime.stop({ timeout: 0 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function store(name: string, connection: string): Promise<void> {
  const runtime = start(bullmqBroker({ connection, prefix: `questions-${Date.now()}` }))
  await runtime.ready()
  for (let thousand = 0; thousand < 100; thousand++) {
    const added = Array.from({ length: 1000 }, (_, i) => {
      const n = thousand * 1000 + i
      const task = tasks[n % 1000 === 7 ? 2 : n % 2]?.name ?? 'mail'
      return runtime.enqueue(task, { user: `u${n % 5000}`, mail: `user${n}@example.org`, n })
    })
    await added.at(-1)?.stored
  }
  await ask(`${name} 100k`, runtime)
  await runtime.stop({ timeout: 0 })
}

const { REDIS_URL, POSTGRES_URL } = process.env
await journal()
if (REDIS_URL !== undefined) await store('redis', REDIS_URL)
if (POSTGRES_URL !== undefined) await store('postgres', POSTGRES_URL)
