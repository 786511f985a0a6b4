/** The two sides of the comparison with BullMQ: our broker under a runtime, and BullMQ alone, over one store. */
import { createRuntime, defineTask, type Runtime } from 'aftertask'
import { bullmqBroker } from 'aftertask/bullmq'
import { createPostgresBackend, Queue, Worker } from 'bullmq'
import pg from 'pg'
import { storeServer } from '../../test/kit/store-servers.ts'

/** Jobs that either side has under way at most, when they are too short to be told apart. */
export const CONCURRENCY = 50
/** Jobs in one call of either side. */
export const BULK = 1000
// What is kept of finished jobs, in seconds.
const KEEP = { count: 1000, age: 3600 }

// BullMQ checks no payload, so ours is not checked either.
const payload = {
  '~standard': { version: 1, vendor: 'bench', validate: (value: unknown) => ({ value }) },
} as const
const noop = defineTask({ name: 'noop', payload, handler: new URL('../workers/noop.ts', import.meta.url) })
const burn = defineTask({ name: 'burn', payload, handler: new URL('../workers/burn.ts', import.meta.url) })

/** What is run: nothing, with many jobs under way, or so many milliseconds of CPU time on each of some threads. */
export type Work =
  | {
      readonly threads: number
      readonly milliseconds: number
      /** Jobs to take beyond those that run; BullMQ's sandbox has a thread for each job that it takes. */
      readonly prefetch: number
    }
  | 'nothing'

/** One of the two. */
export interface Side {
  readonly name: string
  /** Adds so many jobs in one call; resolves once the store has them. */
  addBulk(jobs: number): Promise<unknown>
  /** Adds one job; resolves once the store has it. */
  add(): Promise<unknown>
  /** Fills a queue of its own and runs it; resolves to the milliseconds from the end of the first job to that of the last. */
  run(jobs: number, work: Work): Promise<number>
  close(): Promise<unknown>
}

/** A store with both sides over it. */
export interface Sides {
  readonly ours: Side
  readonly bare: Side
  stop(): Promise<void>
}

/** Starts a store. */
export async function sidesOver(store: 'redis' | 'postgres'): Promise<Sides> {
  const server = await storeServer(store)
  await server.start()
  const { hostname, port } = new URL(server.url)
  const isRedis = store === 'redis'
  const pool = new pg.Pool({ connectionString: server.url, max: 20, options: '-c search_path=bullmq' })
  pool.setMaxListeners(0)
  const connection = isRedis ? { host: hostname, port: Number(port), maxRetriesPerRequest: null } : pool
  const own = await ours(server.url)
  const other = await bare(connection, (isRedis ? undefined : createPostgresBackend) as never)
  return {
    ours: own,
    bare: other,
    stop: async () => {
      await Promise.all([own.close(), other.close()])
      await pool.end()
      await server.dispose()
    },
  }
}

async function ours(url: string): Promise<Side> {
  const retention = { count: KEEP.count, age: KEEP.age * 1000 }
  const common = { tasks: [noop, burn], retention, maxPending: 1_000_000, log: false }
  let queues = 0
  const producerOf = (prefix: string): Runtime<typeof noop | typeof burn> =>
    createRuntime({ ...common, broker: bullmqBroker({ connection: url, prefix, role: 'producer' }) })
  const fill = async (producer: ReturnType<typeof producerOf>, jobs: number, one: object): Promise<void> => {
    const added = producer.enqueueMany(Array.from({ length: jobs }, () => one as { task: typeof noop }))
    await Promise.all(added.map(({ stored }) => stored))
  }
  const empty = { task: noop, payload: {} }
  const adder = producerOf('adds')
  await adder.ready()
  return {
    name: 'aftertask/bullmq',
    addBulk: (jobs) => fill(adder, jobs, empty),
    add: () => adder.enqueue('noop', {} as never).stored,
    run: async (jobs, work) => {
      const prefix = `runs${++queues}`
      const producer = producerOf(prefix)
      const one = work === 'nothing' ? empty : { task: burn, payload: { milliseconds: work.milliseconds } }
      for (let at = 0; at < jobs; at += BULK) await fill(producer, Math.min(BULK, jobs - at), one)
      await producer.stop({ timeout: 0 })
      const threads = work === 'nothing' ? 1 : work.threads
      const prefetch = work === 'nothing' ? CONCURRENCY - threads : work.prefetch
      const broker = bullmqBroker({ connection: url, prefix, role: 'worker', prefetch })
      const worker = createRuntime({ ...common, pool: { threads }, broker })
      const ran = firstToLast(jobs, (over) => worker.on('job:completed', over))
      await worker.ready()
      await ran
      await worker.stop({ timeout: 0 })
      return ran
    },
    close: () => adder.stop({ timeout: 0 }),
  }
}

async function bare(connection: object, factory: never): Promise<Side> {
  let queues = 0
  const queueOf = (name: string): Queue => new Queue(name, { connection } as never, factory)
  const fill = (queue: Queue, jobs: number, data: object): Promise<unknown> =>
    queue.addBulk(Array.from({ length: jobs }, () => ({ name: 'job', data })))
  const adder = queueOf('adds')
  await adder.waitUntilReady()
  return {
    name: 'BullMQ',
    addBulk: (jobs) => fill(adder, jobs, {}),
    add: () => adder.add('job', {}),
    run: async (jobs, work) => {
      const queue = queueOf(`runs${++queues}`)
      const data = work === 'nothing' ? {} : { milliseconds: work.milliseconds }
      for (let at = 0; at < jobs; at += BULK) await fill(queue, Math.min(BULK, jobs - at), data)
      const processor =
        work === 'nothing'
          ? async (): Promise<null> => null
          : new URL('../workers/bullmq-burn.js', import.meta.url)
      const concurrency = work === 'nothing' ? CONCURRENCY : work.threads
      const options = { connection, removeOnComplete: KEEP, concurrency, useWorkerThreads: true }
      const worker = new Worker(queue.name, processor as never, options as never, factory)
      const ran = await firstToLast(jobs, (over) => worker.on('completed', over))
      await worker.close()
      await queue.close()
      return ran
    },
    close: () => adder.close(),
  }
}

/** The start of threads and connections is not what is measured. */
function firstToLast(jobs: number, listen: (over: () => void) => void): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let left = jobs
  let first = 0
  listen(() => {
    if (left === jobs) first = performance.now()
    if (--left === 0) resolve(performance.now() - first)
  })
  return promise
}
