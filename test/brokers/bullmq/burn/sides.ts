/**
 * Processors that burn: two worker processes whose jobs compute for several leases on end, without ever yielding. With
 * threads nothing may stall; with BullMQ's inline processor, the control, jobs must.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue, runMigrations, Worker } from 'bullmq'
import pg from 'pg'
import { bullmqBroker } from '../../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../../src/engine/runtime.ts'
import { startWorker } from '../../../kit/worker-process.ts'
import { trail } from '../fixture/tasks.ts'
import { eventsInStore, linesOf } from '../rounds/witness.ts'
import { bareStore } from './bare-store.ts'

/** What burns, and for how long. */
export interface Fire {
  readonly seconds: number
  /** Milliseconds of a lease, and of a lock. */
  readonly lease: number
}

/** What came of it. */
export interface Ashes {
  readonly jobs: number
  /** Times that the store took a job for a dead process's. */
  readonly stalled: number
  /** Runs beyond the first of a job. */
  readonly runAgain: number
  /** Jobs that have no end in the store, or more than one. */
  readonly unaccounted: number
}

// A job goes on for more than two leases.
const LEASES = 2.4
const PROCESSES = 2
const tasksFile = new URL('../fixture/tasks.ts', import.meta.url)

/** Worker processes of ours, with as many busy threads as the machine has processors in each. */
export function burnThreads(url: string, fire: Fire): Promise<Ashes> {
  const threads = availableParallelism()
  return burn(url, fire, threads * PROCESSES, async (file, ids, ms) => {
    const producer = createRuntime({
      tasks: [trail],
      log: false,
      broker: bullmqBroker({ connection: url, role: 'producer', lease: fire.lease }),
    })
    const args = ['--store', url, '--lease', String(fire.lease), '--concurrency', String(threads)]
    const start = (): ReturnType<typeof startWorker> => startWorker(tasksFile, ...args)
    const workers = await Promise.all(Array.from({ length: PROCESSES }, start))
    const jobs = Array.from({ length: ids }, () => producer.enqueue(trail, { file, ms }))
    await Promise.all(jobs.map((job) => job.settled))
    await Promise.all(workers.map((worker) => worker.end('SIGTERM')))
    await producer.stop({ timeout: 0 })
    return jobs.map(({ id }) => id)
  })
}

/** The control: worker processes of BullMQ with an inline processor, and one that does nothing but look for stalled jobs. */
export function burnInline(url: string, fire: Fire): Promise<Ashes> {
  // A third of the jobs takes as long, since each runs up to three times.
  const shorter = { ...fire, seconds: fire.seconds / 3 }
  return burn(url, shorter, PROCESSES, async (file, count, ms) => {
    if (url.startsWith('postgres')) await migrate(url)
    const { connection, factory, close } = bareStore(url)
    const name = 'burn'
    const queue = new Queue(name, { connection } as never, factory)
    const options = { connection, stalledInterval: fire.lease / 2, lockDuration: fire.lease, autorun: false }
    const looker = new Worker(name, () => Promise.resolve(null), options as never, factory)
    queue.on('error', () => {})
    looker.on('error', () => {})
    await looker.waitUntilReady()
    await looker.startStalledCheckTimer()
    const added = await queue.addBulk(Array.from({ length: count }, () => ({ name: 'burn', data: { ms } })))
    const program = new URL('./bare-worker.ts', import.meta.url)
    const workers = Array.from({ length: PROCESSES }, () =>
      fork(program, [url, name, file, String(fire.lease)]),
    )
    await ended(workers, count)
    await Promise.all(
      workers.map((worker) => {
        worker.kill('SIGKILL')
        return once(worker, 'exit')
      }),
    )
    await looker.close(true)
    await queue.close()
    await close()
    return added.map(({ id }) => id ?? '')
  })
}

/** One job of a bare worker with an inline processor, which computes until `end`. */
export async function burnOneInline(
  url: string,
  { lease, file }: { lease: number; file: string },
): Promise<{ readonly id: string; readonly queue: string; end(): Promise<void> }> {
  if (url.startsWith('postgres')) await migrate(url)
  const { connection, factory, close } = bareStore(url)
  const queue = new Queue('inline', { connection } as never, factory)
  queue.on('error', () => {})
  const { id = '' } = await queue.add('burn', { ms: 600_000 })
  const worker = fork(new URL('./bare-worker.ts', import.meta.url), [url, 'inline', file, String(lease)])
  const end = async (): Promise<void> => {
    worker.kill('SIGKILL')
    await once(worker, 'exit')
    await queue.close()
    await close()
  }
  return { id, queue: 'bull:inline', end }
}

/** Resolves once so many jobs have been reported as over. */
function ended(workers: readonly ChildProcess[], count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const over = new Set<unknown>()
  for (const worker of workers) {
    worker.on('message', (id) => {
      if (over.add(id).size === count) resolve()
    })
  }
  return promise
}

async function burn(
  url: string,
  { seconds, lease }: Fire,
  lanes: number,
  run: (file: string, jobs: number, ms: number) => Promise<string[]>,
): Promise<Ashes> {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-burn-'))
  const file = join(folder, 'trail')
  const ms = lease * LEASES
  const ids = await run(file, lanes * Math.ceil((seconds * 1000) / ms), ms)
  const begun = Map.groupBy(
    linesOf(file).filter(({ what }) => what === 'begin'),
    ({ id }) => id,
  )
  const events = await eventsInStore(url)
  rmSync(folder, { recursive: true })
  const endsOf = (of: string): number =>
    events.filter(({ event, id }) => id === of && (event === 'completed' || event === 'failed')).length
  return {
    jobs: ids.length,
    stalled: events.filter(({ event, id }) => event === 'stalled' && ids.includes(id)).length,
    runAgain: ids.reduce((sum, id) => sum + Math.max(0, (begun.get(id)?.length ?? 0) - 1), 0),
    unaccounted: ids.filter((id) => endsOf(id) !== 1).length,
  }
}

async function migrate(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  await runMigrations(client as never)
  await client.end()
}
