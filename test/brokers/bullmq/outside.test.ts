/** What BullMQ's own tools see of jobs: its `Queue`, and whatever is built on it. */
import { createPostgresBackend, type Job, Queue } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { describe, expect } from 'vitest'
import { bullmqBroker } from '../../../src/brokers/bullmq.ts'
import { createRuntime } from '../../../src/engine/runtime.ts'
import { showing } from './fixture/tasks.ts'
import { overStore, type Place, testAt } from './stores.ts'

/** A queue of the default pool, as somebody else opens it, and the logs of its jobs. */
function queueOf({ server, prefix }: Place): { queue: Queue; close: () => Promise<void> } {
  if (server.url.startsWith('postgres')) {
    const pool = new pg.Pool({ connectionString: server.url, options: '-c search_path=bullmq' })
    const options = { connection: pool as never }
    const queue = new Queue(`${prefix}.pool.default`, options, createPostgresBackend as never)
    return { queue: queue as never, close: () => queue.close().then(() => pool.end()) }
  }
  const redis = new Redis(server.url, { maxRetriesPerRequest: null })
  const queue = new Queue('pool.default', { connection: redis, prefix })
  return { queue, close: () => queue.close().then(() => redis.disconnect()) }
}

describe.each(['redis', 'postgres'] as const)('what BullMQ shows of jobs in %s', (store) => {
  overStore(store, (place) => {
    testAt(
      place,
      'has payload, progress, attempts, results, errors, stack traces and logs where BullMQ keeps them',
      async (here) => {
        const runtime = createRuntime({
          tasks: [showing],
          log: false,
          pool: { threads: 1 },
          broker: bullmqBroker({ connection: here.server.url, prefix: here.prefix }),
        })
        await runtime.ready()
        const { queue, close } = queueOf(here)
        try {
          const payload = { to: 'ada@example.com', fails: 0 }
          const completed = runtime.enqueue(showing, payload)
          const dead = runtime.enqueue(showing, { ...payload, fails: 9 })
          const later = runtime.enqueue(showing, payload, { delay: 60_000 })
          const cancelled = runtime.enqueue(showing, payload, { delay: 60_000 })
          const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
          const batch = runtime.openBatch({ order: 'parallel', onFailure: 'continue' }, { traceparent })
          const traced = batch.add(showing as never, payload as never, { delay: 60_000 })
          batch.settle({ statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' })
          await Promise.all([completed.settled, dead.settled, later.stored, cancelled.stored, traced.stored])
          await cancelled.cancel('not wanted')
          await cancelled.settled
          const jobs = await queue.getJobs(['completed', 'failed', 'delayed'])
          const byId = new Map(jobs.map((job) => [job.id, job]))
          const read = ({ id }: { id: string }): Job => byId.get(id) as Job
          for (const job of [completed, later, cancelled]) expect(read(job).data.payload).toEqual(payload)
          expect(read(completed)).toMatchObject({
            name: 'showing',
            attemptsMade: 1,
            progress: { part: 1, of: 3 },
            returnvalue:
              store === 'redis' ? { sent: payload.to, at: 1 } : { value: { sent: payload.to, at: 1 } },
          })
          expect(read(dead)).toMatchObject({
            attemptsMade: 2,
            failedReason: 'attempt 2 fails',
            progress: { part: 2, of: 3 },
            stacktrace: [/Error: attempt 1 fails\n/, /Error: attempt 2 fails\n/]
              .map((pattern) => expect.stringMatching(pattern))
              .concat(expect.any(String)),
          })
          // As bullmq-otel reads it.
          expect(read(traced).opts.telemetry).toEqual({ metadata: JSON.stringify({ traceparent }) })
          expect(read(cancelled)).toMatchObject({ failedReason: '"showing" was cancelled.', attemptsMade: 1 })
          expect(await read(later).getState()).toBe('delayed')
          const { logs } = await queue.getJobLogs(dead.id)
          expect(logs).toEqual([
            expect.stringMatching(/^\d{4}-\S+Z 1\.1 info: attempt 1$/),
            expect.stringMatching(/^\d{4}-\S+Z 2\.1 info: attempt 2$/),
          ])
        } finally {
          await close()
          await runtime.stop({ timeout: 0 })
        }
      },
    )
  })
})
