/**
 * Two worker processes in trouble, round after round: one is killed with SIGKILL in the middle of its work, the store is
 * stopped and started again, or every connection is cut. No job may get lost, none may end twice, and what a dead process
 * had begun must go on within its lease and one look for such jobs.
 *
 * npm run trouble -- --rounds 20
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bullmqBroker } from '../../../../src/brokers/bullmq.ts'
import type { Job } from '../../../../src/engine/job.ts'
import { createRuntime, type Runtime } from '../../../../src/engine/runtime.ts'
import { nextEvent } from '../../../kit/next-event.ts'
import { type StoreName, type StoreServer, storeServer, whyNot } from '../../../kit/store-servers.ts'
import { startWorker, type WorkerProcess } from '../../../kit/worker-process.ts'
import { trail } from '../fixture/tasks.ts'
import { eventsInStore, faultsOf, linesOf } from './witness.ts'

/** What goes wrong in the middle of each round; `restart` is in turn an orderly one and one by SIGKILL. */
export type Trouble = 'kill' | 'restart' | 'cut'

/** What the rounds have shown. */
export interface Verdict {
  readonly jobs: number
  /** Jobs that a worker was running when it was killed. */
  readonly interrupted: number
  /** Milliseconds from a kill until the last of its jobs had begun again, in the slowest round. */
  readonly slowest: number
  readonly faults: readonly string[]
}

interface Scene {
  readonly server: StoreServer
  readonly file: string
  readonly producer: Runtime<typeof trail>
  readonly workers: WorkerProcess[]
  readonly killed: Map<number, number>
  readonly start: () => Promise<WorkerProcess>
}

const JOBS = 30
// What a loaded machine may take to start a job that it has.
const SLACK = 500
const tasksFile = new URL('../fixture/tasks.ts', import.meta.url)

/** Milliseconds from the death of a process until its jobs run again, at the most: a lease and a quarter of it. */
export function recoveryBound(lease: number): number {
  return lease * 1.25
}

/** Plays rounds over a server that has nothing in it yet. */
export async function playRounds(
  server: StoreServer,
  trouble: Trouble,
  { rounds, lease }: { rounds: number; lease: number },
): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-rounds-'))
  const producer = createRuntime({
    tasks: [trail],
    log: false,
    retention: { count: 1_000_000 },
    broker: bullmqBroker({ connection: server.url, role: 'producer', whenDown: 'buffer', lease }),
  })
  const start = (): Promise<WorkerProcess> =>
    startWorker(tasksFile, '--store', server.url, '--lease', String(lease), '--concurrency', '2')
  const scene: Scene = {
    ...{ server, producer, start, killed: new Map() },
    file: join(folder, 'trail'),
    workers: await Promise.all([start(), start()]),
  }
  const told = new Map<string, number>()
  producer.on('job:completed', ({ job }) => told.set(job.id, (told.get(job.id) ?? 0) + 1))
  const jobs: { id: string }[] = []
  const faults: string[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      const added = await play[trouble](scene, round)
      const settled = await Promise.all(added.map((job) => job.settled))
      for (const [at, { state }] of settled.entries()) {
        if (state !== 'completed') faults.push(`${added[at]?.id} is ${state}`)
      }
      jobs.push(...added)
    }
    const lines = linesOf(scene.file)
    faults.push(...faultsOf(jobs, lines, await eventsInStore(server.url), new Set(scene.killed.keys())))
    for (const { id } of jobs)
      if (told.get(id) !== 1) faults.push(`${id} is told of ${told.get(id) ?? 0} times`)
    return { jobs: jobs.length, ...recoveries(lines, scene.killed), faults }
  } finally {
    await Promise.all(scene.workers.map((worker) => worker.end('SIGKILL')))
    await producer.stop({ timeout: 0 })
    rmSync(folder, { recursive: true })
  }
}

/** One round of each trouble; resolves to its jobs, once the trouble is over. */
const play: Record<Trouble, (scene: Scene, round: number) => Promise<Job[]>> = {
  kill: async (scene, round) => {
    const { producer, workers, killed } = scene
    const jobs = add(scene, JOBS)
    // One that takes until then: it is running when its process is killed.
    const until = `${scene.file}-${round}`
    const long = producer.enqueue(trail, { file: scene.file, ms: 0, until })
    jobs.push(long, ...add(scene, JOBS))
    const pid = await runnerOf(producer, long)
    const at = workers.findIndex(({ child }) => child.pid === pid)
    killed.set(pid, Date.now())
    await workers[at]?.end('SIGKILL')
    writeFileSync(until, '')
    const next = scene.start()
    await Promise.all(jobs.map((job) => job.settled))
    workers[at] = await next
    return jobs
  },
  restart: async (scene, round) => {
    const jobs = add(scene, JOBS)
    await jobs[JOBS / 3]?.settled
    const down = nextEvent(scene.producer, 'broker:down')
    const up = nextEvent(scene.producer, 'broker:up')
    await scene.server.stop(round % 2 === 0)
    await down
    jobs.push(...add(scene, JOBS))
    await scene.server.start()
    await up
    return jobs
  },
  cut: async (scene) => {
    const jobs = add(scene, JOBS)
    for (const at of [5, 15, 25]) {
      await jobs[at]?.settled
      scene.server.cut()
    }
    return jobs
  },
}

/** The process that a job has begun in. */
async function runnerOf(producer: Runtime<typeof trail>, job: Job): Promise<number> {
  await job.stored
  for (;;) {
    const info = await producer.job(job.id)
    if (info?.progress !== undefined) return (info.progress as { pid: number }).pid
  }
}

function add({ producer, file }: Scene, count: number): Job[] {
  return Array.from({ length: count }, () => producer.enqueue(trail, { file, ms: 20 }))
}

function recoveries(
  lines: ReturnType<typeof linesOf>,
  killed: ReadonlyMap<number, number>,
): Pick<Verdict, 'interrupted' | 'slowest'> {
  let interrupted = 0
  let slowest = 0
  for (const its of Map.groupBy(lines, ({ id }) => id).values()) {
    const begun = its.filter(({ what }) => what === 'begin')
    for (const [at, { pid }] of begun.slice(0, -1).entries()) {
      const death = killed.get(pid)
      if (death === undefined) continue
      interrupted++
      slowest = Math.max(slowest, (begun[at + 1]?.at ?? 0) - death)
    }
  }
  return { interrupted, slowest }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, lease: { type: 'string', default: '2000' } },
  })
  const rounds = Number(values.rounds)
  const lease = Number(values.lease)
  const rows: object[] = []
  for (const store of ['redis', 'valkey', 'postgres'] as const satisfies StoreName[]) {
    const reason = whyNot(store)
    if (reason !== undefined) console.log(`${store} is ${reason}`)
    for (const trouble of reason === undefined ? (['kill', 'restart', 'cut'] as const) : []) {
      const server = await storeServer(store)
      await server.start()
      const { jobs, interrupted, slowest, faults } = await playRounds(server, trouble, { rounds, lease })
      await server.dispose()
      const late = slowest > recoveryBound(lease) + SLACK ? [`recovered only after ${slowest} ms`] : []
      for (const fault of [...faults, ...late]) console.log(`${store}, ${trouble}: ${fault}`)
      if (faults.length + late.length > 0) process.exitCode = 1
      const recovered = trouble === 'kill' ? { interrupted, 'slowest recovery (ms)': slowest } : {}
      rows.push({ store, trouble, rounds, jobs, faults: faults.length, ...recovered })
    }
  }
  console.table(rows)
  console.log(
    `A lease is ${lease} ms; jobs of a dead process must run again after ${recoveryBound(lease)} ms.`,
  )
}
