/**
 * A process that is killed: it adds and runs jobs as fast as it can, and tells a witness, outside of the journal, what
 * it was promised and what ran. `drain`: it adds nothing and stops once everything is done.
 */
import { appendFileSync, openSync, writeSync } from 'node:fs'
import { z } from 'zod'
import { ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { createRuntime, defineTask } from '../../../src/index.ts'
import type { FailPoint } from '../../../src/rules/journal-protocol.ts'

const [mode = 'load', file = '', witness = '', round = '0', point = '', after = '0'] = process.argv.slice(2)

const payload = z.object({ n: z.string(), ms: z.number(), kill: z.boolean().optional() })
const handler = new URL('./workers/witness-handler.ts', import.meta.url)
// Whoever is killed a hundred times within a minute is not to be blamed for it; the killer itself is.
const step = defineTask({ name: 'step', payload, handler, maxCrashes: 1000 })
const killer = defineTask({ name: 'killer', payload, handler })

const journalPoints: readonly string[] = [
  'before-commit',
  'after-commit',
  'before-checkpoint',
  'during-checkpoint',
]
const broker = new SqliteBroker(
  {
    file,
    durability: 'process',
    isShared: false,
    window: 64,
    logLimit: 200_000,
    retention: { dead: Number.POSITIVE_INFINITY },
    ...(journalPoints.includes(point) && { failAt: { point: point as FailPoint, after: Number(after) } }),
  },
  new ThreadLink(),
)
let countdown = Number(after)
const die = (): void => void (countdown-- === 0 && process.kill(process.pid, 'SIGKILL'))
if (point === 'after-claim') {
  const sent = broker.sent.bind(broker)
  broker.sent = (jobs, thread) => {
    sent(jobs, thread)
    die()
  }
}
if (point === 'before-the-final-write') {
  const finish = broker.finish.bind(broker)
  broker.finish = (job, ended) => {
    die()
    finish(job, ended)
  }
}

const line = openSync(witness, 'a')
const tell = (what: string, n: string): void => void writeSync(line, `${what} ${n}\n`)
const runtime = createRuntime({
  tasks: [step, killer],
  broker,
  pool: { threads: 2, env: { WITNESS: witness } },
  maxPending: Number.POSITIVE_INFINITY,
  retention: { count: 100 },
  log: false,
})
const numbers = new Map<string, string>()
runtime.on('job:completed', ({ job, result }) => tell('told', numbers.get(job.id) ?? String(result)))
runtime.on('job:dead', ({ job }) => tell('dead', job.id))
await runtime.ready()
if (mode === 'drain') await drain()
else await Promise.all(Array.from({ length: 16 }, (_, writer) => load(writer)))

async function load(writer: number): Promise<void> {
  for (let count = 0; ; count++) {
    const n = `${round}.${writer}.${count}`
    const kill = point === 'mid-run' && writer === 0 && count === Number(after)
    const options =
      [{}, {}, { delay: 5 }, { key: `k${writer % 3}` }, { priority: count % 5 }][count % 5] ?? {}
    const job = runtime.enqueue(
      kill ? killer : step,
      { n, ms: count % 20 === 0 ? 2 : 0, ...(kill && { kill }) },
      options,
    )
    numbers.set(job.id, n)
    await job.stored
    tell('acked', `${n} ${job.id}`)
  }
}

async function drain(): Promise<void> {
  const unfinished = ['held', 'waiting', 'scheduled', 'available', 'running', 'retryable'] as const
  for (;;) {
    const counts = await runtime.counts()
    if (unfinished.every((state) => counts[state] === 0)) break
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const { left } = await runtime.stop()
  appendFileSync(witness, `drained ${left.length}\n`)
}
