/** Worker processes, and their deaths. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startWorker, startWorkerIn, type WorkerProcess } from '../../kit/worker-process.ts'
import { wrongClock, wrongClocks } from '../../kit/wrong-clock.ts'
import { trail } from './fixture/tasks.ts'
import { playRounds } from './rounds/rounds.ts'
import { overStore, type Place, playAt, testAt } from './stores.ts'

const tasksFile = new URL('./fixture/tasks.ts', import.meta.url)
const LEASE = 1000

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    playAt(
      place,
      'a worker that is killed loses no job and ends none twice, and its jobs go on elsewhere',
      async ({ server }, slower) => {
        const { faults, interrupted } = await playRounds(server, 'kill', { rounds: 1, lease: slower * LEASE })
        expect(faults).toEqual([])
        expect(interrupted).toBeGreaterThanOrEqual(1)
      },
    )

    playAt(
      place,
      'a store that is started anew under load loses no job, and no job runs or ends twice',
      async ({ server }, slower) => {
        const { faults } = await playRounds(server, 'restart', { rounds: 2, lease: 2.5 * slower * LEASE })
        expect(faults).toEqual([])
      },
    )

    playAt(
      place,
      'connections that are cut under load cost no job, and no job runs or ends twice',
      async ({ server }, slower) => {
        const { faults } = await playRounds(server, 'cut', { rounds: 1, lease: slower * LEASE })
        expect(faults).toEqual([])
      },
    )

    testAt(
      place,
      'a worker that gets SIGTERM ends what it runs, leaves the rest to others, and exits with 0',
      async (here) => {
        const folder = mkdtempSync(join(tmpdir(), 'aftertask-trail-'))
        const producer = here.runtime({ role: 'producer' })
        const worker = await start(here, '--concurrency', '1')
        try {
          const jobs = Array.from({ length: 5 }, () =>
            producer.enqueue(trail, { file: join(folder, 'trail'), ms: 100 }),
          )
          await jobs[0]?.settled
          expect(await worker.end('SIGTERM')).toBe(0)
          const other = await start(here)
          const settlements = await Promise.all(jobs.map(({ settled }) => settled))
          expect(settlements.map(({ state, attempts }) => [state, attempts])).toEqual(
            jobs.map(() => ['completed', 1]),
          )
          await other.end('SIGTERM')
        } finally {
          rmSync(folder, { recursive: true })
        }
      },
    )

    testAt(
      place,
      `workers whose clocks are an hour apart run each job once, and at its time${wrongClocks.note}`,
      async (here) => {
        if (!wrongClocks.areThere) return
        const folder = mkdtempSync(join(tmpdir(), 'aftertask-clocks-'))
        const file = join(folder, 'trail')
        const args = ['--store', here.server.url, '--prefix', here.prefix, '--lease', String(LEASE)]
        const workers: WorkerProcess[] = []
        try {
          const runtime = here.runtime({ lease: LEASE })
          await runtime.ready()
          for (const seconds of [3600, -3600]) {
            const worker = await startWorkerIn(wrongClock(seconds), tasksFile, ...args, '--concurrency', '1')
            workers.push(worker)
          }
          // Longer than their leases.
          const long = Array.from({ length: 6 }, () =>
            runtime.enqueue(trail, { file, ms: 1.5 * LEASE }, { queueTimeout: 60_000 }),
          )
          const late = await Promise.all(
            [400, 800, 1200].map(async (delay) => {
              const job = runtime.enqueue(trail, { file, ms: 0 }, { delay, queueTimeout: 60_000 })
              const added = performance.now()
              const { state, attempts } = await job.settled
              return [state, attempts, performance.now() - added >= delay - 2]
            }),
          )
          const settlements = await Promise.all(long.map(({ settled }) => settled))
          expect(settlements.map(({ state, attempts }) => [state, attempts])).toEqual(
            long.map(() => ['completed', 1]),
          )
          expect(late).toEqual(late.map(() => ['completed', 1, true]))
          const begun = readFileSync(file, 'utf8')
            .split('\n')
            .filter((line) => line.startsWith('begin'))
          expect(begun).toHaveLength(long.length + late.length)
        } finally {
          await Promise.all(workers.map((worker) => worker.end('SIGKILL')))
          rmSync(folder, { recursive: true, force: true })
        }
      },
    )
  })
}

function start({ server, prefix }: Place, ...args: string[]): Promise<WorkerProcess> {
  return startWorker(tasksFile, '--store', server.url, '--prefix', prefix, '--lease', String(LEASE), ...args)
}
