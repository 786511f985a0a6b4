/** Leases that are lost: the attempt is told so, and what becomes of it does not count. */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import pg from 'pg'
import { expect } from 'vitest'
import type { Runtime } from '../../../src/engine/runtime.ts'
import { fileAppears } from '../../kit/file-appears.ts'
import { nextEvent } from '../../kit/next-event.ts'
import { tempFolder } from '../../kit/temp-folder.ts'
import { startWorker } from '../../kit/worker-process.ts'
import { clinging, trail } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

const { newFile } = tempFolder('leases')
// Long enough for a slow machine to keep it, unless a test takes it away.
const LEASE = 2500

for (const store of ['redis', 'postgres'] as const) {
  overStore(store, (place) => {
    for (const how of ['waits', 'spins'] as const) {
      testAt(
        place,
        `an attempt that ${how} for its signal hears that its lease was lost, and its job ends elsewhere`,
        async (here) => {
          const worker = here.runtime({ role: 'worker', lease: LEASE })
          const interrupted = nextEvent(worker, 'job:interrupted')
          const producer = here.runtime({ role: 'producer' })
          const file = newFile()
          const job = producer.enqueue(clinging, { file, how })
          await fileAppears(file)
          here.runtime({ role: 'worker', lease: LEASE })
          await loseLease(here, job.id)
          expect(await interrupted).toMatchObject({
            job: { id: job.id, attempt: 1 },
            reason: 'its lease was lost',
            error: { code: 'ERR_LEASE_LOST' },
          })
          expect(await job.result()).toBe('again')
          expect(readFileSync(file, 'utf8')).toContain('AbortError ERR_LEASE_LOST')
        },
      )
    }

    testAt(
      place,
      'the outcome of an attempt whose lease was lost is refused, told and counted, and the job ends once',
      async (here) => {
        const worker = here.runtime({ role: 'worker', lease: LEASE })
        const fenced = nextEvent(worker, 'job:fenced')
        const producer = here.runtime({ role: 'producer' })
        const other = here.runtime({ role: 'producer' })
        const ends: unknown[] = []
        for (const runtime of [worker, producer]) {
          runtime.on('job:completed', (end) => ends.push([end.job.id, end.result]))
        }
        const file = newFile()
        const job = producer.enqueue(clinging, { file, how: 'ignores' })
        await fileAppears(file)
        here.runtime({ role: 'worker', lease: LEASE })
        await loseLease(here, job.id)
        expect(await fenced).toMatchObject({
          job: { id: job.id },
          state: 'completed',
          error: { code: 'ERR_LEASE_LOST' },
        })
        expect(await job.result()).toBe('again')
        expect(worker.stats().broker?.fenced).toBe(1)
        expect((await other.job(job.id))?.result).toBe('again')
        expect(ends).toEqual([[job.id, 'again']])
      },
    )

    testAt(
      place,
      'a process that is paused holds no job that has not begun: another runs it',
      async (here) => {
        const paused = here.runtime({ lease: 60_000, prefetch: 3 })
        await paused.ready()
        const file = newFile()
        const first = paused.enqueue(clinging, { file, how: 'waits' })
        await fileAppears(file)
        // They come to wait for the thread here.
        const waiting = [1, 2, 3].map(() => paused.enqueue(trail, { file: newFile(), ms: 0 }))
        await Promise.all(waiting.map(({ stored }) => stored))
        paused.pause()
        const later = paused.enqueue(trail, { file: newFile(), ms: 0 })
        here.runtime({ role: 'worker', lease: 60_000 })
        const settlements = await Promise.all([...waiting, later].map(({ settled }) => settled))
        expect(settlements.map(({ state, attempts }) => [state, attempts])).toEqual(
          settlements.map(() => ['completed', 1]),
        )
        expect(first.state).toBe('running')
        await first.cancel()
      },
    )

    testAt(
      place,
      'a process that was stopped for longer than its lease cannot end the job that another has taken over',
      async (here) => {
        const args = ['--store', here.server.url, '--prefix', here.prefix, '--lease', '1000']
        const stopped = await startWorker(new URL('./fixture/tasks.ts', import.meta.url), ...args)
        try {
          const producer = here.runtime({ role: 'producer' })
          const file = newFile()
          // It looks at no signal, so that it comes to its end whatever it is told first.
          const job = producer.enqueue(clinging, { file, how: 'ignores' })
          await fileAppears(file)
          stopped.child.kill('SIGSTOP')
          const worker = here.runtime({ role: 'worker', lease: LEASE })
          expect(await job.result()).toBe('again')
          stopped.child.kill('SIGCONT')
          expect(await stopped.told('job:fenced')).toMatchObject({ job: { id: job.id }, state: 'completed' })
          expect(await recorded(worker, job.id)).toEqual(['completed', 'again'])
          expect(await producer.counts()).toMatchObject({ completed: 1, dead: 0, running: 0 })
        } finally {
          stopped.child.kill('SIGCONT')
          await stopped.end('SIGKILL')
        }
      },
    )
  })
}

async function recorded(runtime: Runtime, id: string): Promise<unknown[]> {
  const info = await runtime.job(id)
  return [info?.state, info?.result]
}

/** As if it had run out and another had taken note: the process that has the job cannot know before it renews. */
async function loseLease({ server, prefix }: Place, id: string): Promise<void> {
  if (server.url.startsWith('redis')) {
    const redis = new Redis(server.url)
    const key = `${prefix}:pool.default:${id}`
    const isThere = await redis.exists(key)
    await redis.hincrby(key, 'stc', 1)
    // On a slow machine it may have run out already.
    await redis.del(`${key}:lock`)
    redis.disconnect()
    if (isThere !== 1) throw new Error('There was no job.')
    return
  }
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  const lose = "update bullmq.job set lock_token = 'lost', locked_until_ms = 0 where id = $1"
  const { rowCount } = await client.query(lose, [id])
  await client.end()
  if (rowCount !== 1) throw new Error('There was no job.')
}
