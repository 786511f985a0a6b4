/**
 * The BullMQ broker against bare BullMQ, in one run over one Redis (or PostgreSQL: `node bench/bullmq.ts postgres`), with
 * the same settings: adding, no-op jobs, and jobs of 10 ms of CPU against BullMQ's own worker-thread sandbox.
 */
import { createPostgresBackend, Queue, Worker } from 'bullmq'
import pg from 'pg'
import { bullmqBroker } from '../src/brokers/bullmq.ts'
import { createRuntime } from '../src/engine/runtime.ts'
import { defineTask } from '../src/rules/task.ts'
import { storeServer } from '../test/kit/store-servers.ts'

const store = process.argv[2] === 'postgres' ? 'postgres' : 'redis'
const scale = store === 'postgres' ? 0.1 : 1
const ADDS = 20_000 * scale
const NOOPS = 10_000 * scale
const BURNS = 200
const ROUNDS = Number(process.env.ROUNDS ?? 5)
const CONCURRENCY = 50

const noop = defineTask({ name: 'noop', handler: new URL('./workers/noop.ts', import.meta.url) })
const burn = defineTask({
  name: 'burn',
  payload: { '~standard': { version: 1, vendor: 'bench', validate: (value: unknown) => ({ value }) } },
  handler: new URL('./workers/burn.ts', import.meta.url),
})

const server = await storeServer(store)
await server.start()
const { hostname, port } = new URL(server.url)
const pool =
  store === 'postgres'
    ? new pg.Pool({ connectionString: server.url, max: 20, options: '-c search_path=bullmq' })
    : undefined
const connection = pool ?? { host: hostname, port: Number(port), maxRetriesPerRequest: null }
const factory = (store === 'postgres' ? createPostgresBackend : undefined) as never
let prefixes = 0

/** Ours: jobs a second for adding and for running. */
async function ours(
  jobs: number,
  threads: number,
  task: typeof noop | typeof burn,
  payload?: unknown,
): Promise<[number, number]> {
  const prefix = `ours${++prefixes}`
  const keep = { retention: { count: 1000, age: 3_600_000 }, maxPending: 1_000_000, log: false }
  const producer = createRuntime({
    tasks: [noop, burn],
    broker: bullmqBroker({ connection: server.url, prefix, role: 'producer' }),
    ...keep,
  })
  await producer.ready()
  const begun = performance.now()
  const handles = producer.enqueueMany(Array.from({ length: jobs }, () => ({ task, payload })) as never)
  await Promise.all(handles.map((job) => job.stored))
  const added = performance.now() - begun
  await producer.stop({ timeout: 0 })
  const worker = createRuntime({
    tasks: [noop, burn],
    pool: { threads },
    broker: bullmqBroker({ connection: server.url, prefix, role: 'worker', prefetch: CONCURRENCY - threads }),
    ...keep,
  })
  const ran = await until(
    jobs,
    (tick) => worker.on('job:completed', tick),
    () => worker.ready(),
  )
  await worker.stop({ timeout: 0 })
  return [(jobs / added) * 1000, (jobs / ran) * 1000]
}

/** Bare BullMQ: the same, with an inline processor, or with its sandbox. */
async function bare(
  jobs: number,
  concurrency: number,
  processor: (() => Promise<null>) | URL,
  data: object,
): Promise<[number, number]> {
  const name = `bare${++prefixes}`
  const options = { connection, removeOnComplete: { count: 1000, age: 3600 } }
  const queue = new Queue(name, { connection } as never, factory)
  await queue.waitUntilReady()
  const begun = performance.now()
  for (let at = 0; at < jobs; at += 1000) {
    await queue.addBulk(Array.from({ length: Math.min(1000, jobs - at) }, () => ({ name: 'job', data })))
  }
  const added = performance.now() - begun
  const worker = new Worker(
    name,
    processor as never,
    { ...options, concurrency, useWorkerThreads: true, autorun: false } as never,
    factory,
  )
  const ran = await until(
    jobs,
    (tick) => worker.on('completed', tick),
    async () => void worker.run(),
  )
  await worker.close()
  await queue.close()
  return [(jobs / added) * 1000, (jobs / ran) * 1000]
}

/** Milliseconds from the first job that is over to the last: the start of threads is not what is measured. */
async function until(
  jobs: number,
  listen: (tick: () => void) => void,
  start: () => Promise<void>,
): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let left = jobs
  let first = 0
  listen(() => {
    if (left === jobs) first = performance.now()
    if (--left === 0) resolve(performance.now() - first)
  })
  await start()
  return promise
}

const median = (values: number[]): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
const show = (what: string, own: number[], other: number[]): void => {
  const ratio = median(own.map((value, index) => value / (other[index] ?? 1)))
  console.log(
    `${what.padEnd(34)} ours ${median(own).toFixed(0).padStart(7)}/s  bare ${median(other).toFixed(0).padStart(7)}/s  ${ratio.toFixed(2)}x`,
  )
}

const rows = { add: [[], []], process: [[], []], burn: [[], []] } as Record<string, [number[], number[]]>
for (let round = 0; round < ROUNDS; round++) {
  const [ownAdd] = await ours(ADDS, 1, noop)
  const [bareAdd] = await bare(ADDS, CONCURRENCY, async () => null, {})
  const [, ownRun] = await ours(NOOPS, 1, noop)
  const [, bareRun] = await bare(NOOPS, CONCURRENCY, async () => null, {})
  const [, ownBurn] = await ours(BURNS, 2, burn, { milliseconds: 10 })
  const [, bareBurn] = await bare(BURNS, 2, new URL('./workers/bullmq-burn.js', import.meta.url), {
    milliseconds: 10,
  })
  for (const [name, own, other] of [
    ['add', ownAdd, bareAdd],
    ['process', ownRun, bareRun],
    ['burn', ownBurn, bareBurn],
  ] as const) {
    rows[name]?.[0].push(own)
    rows[name]?.[1].push(other)
  }
}
console.log(`over ${store}, medians of ${ROUNDS} rounds side by side:`)
show(`adding ${ADDS} jobs`, ...(rows['add'] as [number[], number[]]))
show(`running ${NOOPS} no-op jobs`, ...(rows['process'] as [number[], number[]]))
show(`running ${BURNS} jobs of 10 ms of CPU`, ...(rows['burn'] as [number[], number[]]))
await pool?.end()
await server.dispose()
process.exit(0)
