/** Worker processes, and their deaths. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startWorker, type WorkerProcess } from '../../kit/worker-process.ts'
import { trail } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

const tasksFile = new URL('./fixture/tasks.ts', import.meta.url)
const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 2)
const LEASE = 1000

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'a worker that is killed with SIGKILL loses no job and ends none twice, round after round',
      async (here) => {
        const folder = mkdtempSync(join(tmpdir(), 'aftertask-trail-'))
        const file = join(folder, 'trail')
        const ends = new Map<string, number>()
        const producer = here.runtime({ role: 'producer' })
        producer.on('job:completed', ({ job }) => ends.set(job.id, (ends.get(job.id) ?? 0) + 1))
        let workers = await Promise.all([start(here), start(here)])
        const killed = new Set<number>()
        try {
          for (let round = 0; round < ROUNDS; round++) {
            const jobs = Array.from({ length: 30 }, () => producer.enqueue(trail, { file, ms: 20 }))
            const [victim, other] = round % 2 === 0 ? workers : [workers[1], workers[0]]
            await Promise.race(jobs.slice(10, 14).map(({ settled }) => settled))
            killed.add(victim?.child.pid ?? 0)
            await victim?.end('SIGKILL')
            const settlements = await Promise.all(jobs.map(({ settled }) => settled))
            expect(settlements.filter(({ state }) => state !== 'completed')).toEqual([])
            workers = [other as WorkerProcess, await start(here)]
          }
          // Whatever began twice was with a worker that was killed.
          const begun = readFileSync(file, 'utf8')
            .trim()
            .split('\n')
            .map((line) => line.split(' '))
          const ids = new Map<string, number[]>()
          for (const [what, id = '', pid] of begun) {
            if (what === 'begin') ids.set(id, [...(ids.get(id) ?? []), Number(pid)])
          }
          expect(ids.size).toBe(30 * ROUNDS)
          const twice = [...ids.values()].filter((pids) => pids.length > 1)
          expect(twice.filter((pids) => !killed.has(pids[0] ?? 0))).toEqual([])
          expect([...ends.values()].filter((count) => count !== 1)).toEqual([])
          expect(ends.size).toBe(30 * ROUNDS)
        } finally {
          await Promise.all(workers.map((worker) => worker.end('SIGKILL')))
          rmSync(folder, { recursive: true })
        }
      },
      30_000 * Math.max(1, ROUNDS / 2),
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
