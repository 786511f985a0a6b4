/** Worker processes, and their deaths. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startWorker, type WorkerProcess } from '../../kit/worker-process.ts'
import { trail } from './fixture/tasks.ts'
import { playRounds } from './rounds/rounds.ts'
import { overStore, type Place, testAt } from './stores.ts'

const tasksFile = new URL('./fixture/tasks.ts', import.meta.url)
const LEASE = 1000

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'a worker that is killed loses no job and ends none twice, and its jobs go on elsewhere',
      async ({ server }) => {
        const { faults, interrupted } = await playRounds(server, 'kill', { rounds: 1, lease: LEASE })
        expect(faults).toEqual([])
        expect(interrupted).toBeGreaterThanOrEqual(1)
      },
    )

    testAt(
      place,
      'a store that is started anew under load loses no job, and no job runs or ends twice',
      async ({ server }) => {
        const { faults } = await playRounds(server, 'restart', { rounds: 2, lease: 2.5 * LEASE })
        expect(faults).toEqual([])
      },
    )

    testAt(
      place,
      'connections that are cut under load cost no job, and no job runs or ends twice',
      async ({ server }) => {
        const { faults } = await playRounds(server, 'cut', { rounds: 1, lease: LEASE })
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
  })
}

function start({ server, prefix }: Place, ...args: string[]): Promise<WorkerProcess> {
  return startWorker(tasksFile, '--store', server.url, '--prefix', prefix, '--lease', String(LEASE), ...args)
}
