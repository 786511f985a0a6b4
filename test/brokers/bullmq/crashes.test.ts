/** Who is charged when a process dies: the jobs that it ran, not those that it had fetched. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import { fileAppears } from '../../kit/file-appears.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { startWorker } from '../../kit/worker-process.ts'
import * as tasks from './fixture/crash-tasks.ts'
import { begunInStore } from './rounds/witness.ts'
import { overStore, type Place, testAt } from './stores.ts'

const LEASE = 500
const tasksFile = new URL('./fixture/crash-tasks.ts', import.meta.url)
const { newFile } = tempFolder('crashes')

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    testAt(
      place,
      'a task whose jobs keep ending threads is held back alone: its neighbours run, and it costs no thread for each job',
      async (here) => {
        const runtime = createRuntime({
          tasks: [tasks.exits, tasks.neighbour],
          log: false,
          pool: { threads: 2 },
          broker: bullmqBroker({ connection: here.server.url, prefix: here.prefix }),
        })
        let deaths = 0
        runtime.on('thread:exited', () => deaths++)
        try {
          await runtime.ready()
          runtime.pause()
          const exits = Array.from({ length: 40 }, () => runtime.enqueue(tasks.exits, undefined))
          const file = newFile()
          const neighbours = Array.from({ length: 100 }, () =>
            runtime.enqueue(tasks.neighbour, { file, ms: 0 }),
          )
          await Promise.all([...exits, ...neighbours].map(({ stored }) => stored))
          runtime.resume()
          const ended = await Promise.all(neighbours.map(({ settled }) => settled))
          expect(new Set(ended.map(({ state }) => state))).toEqual(new Set(['completed']))
          // Three before it is held, those that were on their way, and one after each wait.
          expect(deaths).toBeLessThan(20)
          expect((await runtime.jobs({ task: 'exits', state: 'dead' })).jobs.length).toBeLessThan(20)
        } finally {
          await runtime.stop({ timeout: 0 })
        }
      },
    )

    testAt(
      place,
      'a job that a killed process had fetched and not begun is given back without a charge',
      async (here) => {
        const producer = runtimeAt(here, 'producer')
        const [file, until] = [newFile(), newFile()]
        const payload = { file, ms: 0, until }
        const jobs = Array.from({ length: 6 }, () => producer.enqueue(tasks.neighbour, payload))
        await Promise.all(jobs.map(({ stored }) => stored))
        const child = fork(new URL('./fixture/fetching-process.ts', import.meta.url), [
          here.server.url,
          here.prefix,
        ])
        const gone = once(child, 'exit')
        await once(child, 'message')
        try {
          await fileAppears(file)
          while ((await producer.jobs({ state: 'running' })).jobs.length < 6);
          while ((await begunInStore(here.server.url)) === 0);
        } finally {
          child.kill('SIGKILL')
          await gone
          writeFileSync(until, '')
        }
        const worker = runtimeAt(here, 'worker', 4)
        try {
          const settled = await Promise.all(jobs.map((job) => job.settled))
          expect(settled.map(({ state }) => state)).toEqual(jobs.map(() => 'completed'))
          expect(settled.map(({ attempts }) => attempts).toSorted()).toEqual([1, 1, 1, 1, 1, 2])
          const charged = jobs[settled.findIndex(({ attempts }) => attempts === 2)]
          expect((await producer.job(charged?.id ?? ''))?.history).toMatchObject([
            { attempt: 1, outcome: 'crashed', error: { code: 'ERR_PROCESS_EXITED' } },
            { attempt: 2, outcome: 'completed' },
          ])
        } finally {
          await Promise.all([producer.stop({ timeout: 0 }), worker.stop({ timeout: 0 })])
        }
      },
    )

    testAt(
      place,
      'a job that kills its process each time is dead after its crashes, and one that ran beside it is not',
      async (here) => {
        const producer = runtimeAt(here, 'producer')
        const [file, other] = [newFile(), newFile()]
        const guilty = producer.enqueue(tasks.killer, { file, ms: 300 })
        const innocent = producer.enqueue(tasks.companion, { file: other, ms: 600 })
        const deaths = await restartUntil(here, Promise.all([guilty.settled, innocent.settled]))
        expect(await guilty.settled).toMatchObject({
          state: 'dead',
          attempts: 2,
          error: { code: 'ERR_PROCESS_EXITED' },
        })
        expect(await innocent.settled).toMatchObject({ state: 'completed' })
        // On a machine that is slow enough, its first start is not on record before it dies.
        expect([2, 3]).toContain(deaths)
        await producer.stop({ timeout: 0 })
      },
    )

    testAt(
      place,
      'a job that kills its process at once is charged from its second start on, at the latest',
      async (here) => {
        const producer = runtimeAt(here, 'producer')
        const file = newFile()
        const guilty = producer.enqueue(tasks.killer, { file, ms: 0 })
        const deaths = await restartUntil(here, guilty.settled)
        expect(await guilty.settled).toMatchObject({ state: 'dead', attempts: 2 })
        // On a machine that is slow enough, its first start is on record before it dies.
        expect([2, 3]).toContain(deaths)
        await producer.stop({ timeout: 0 })
      },
    )

    testAt(
      place,
      'a job whose crash is its end is not started again, however soon its process died',
      async (here) => {
        const producer = runtimeAt(here, 'producer')
        const file = newFile()
        const job = producer.enqueue(tasks.killerOnce, { file, ms: 0 })
        await restartUntil(here, job.settled)
        expect(await job.settled).toMatchObject({ state: 'dead', attempts: 1 })
        // A process that is slow enough loses its lease before the job begins: nobody else can know that.
        const begun = existsSync(file) ? readFileSync(file, 'utf8') : ''
        expect([`begin ${job.id}\n`, '']).toContain(begun)
        await producer.stop({ timeout: 0 })
      },
    )
  })
}

function runtimeAt({ server, prefix }: Place, role: 'producer' | 'worker', threads = 1) {
  const broker = bullmqBroker({ connection: server.url, prefix, role, lease: LEASE })
  return createRuntime({ tasks, broker, pool: { threads }, log: false })
}

/** Starts a worker process again and again until this is settled; resolves to how many have died. */
async function restartUntil({ server, prefix }: Place, settled: Promise<unknown>): Promise<number> {
  let isOver = false
  const over = settled.then(() => {
    isOver = true
  })
  for (let deaths = 0; ; deaths++) {
    const args = ['--store', server.url, '--prefix', prefix, '--lease', String(LEASE), '--concurrency', '2']
    // It may be dead before it is ready.
    const worker = await startWorker(tasksFile, ...args).catch(() => undefined)
    if (worker?.child.signalCode === null) await Promise.race([once(worker.child, 'exit'), over])
    if (!isOver) continue
    await worker?.end('SIGKILL')
    return deaths
  }
}
