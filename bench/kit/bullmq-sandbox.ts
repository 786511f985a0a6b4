/** BullMQ's sandboxed processor with a worker thread, where both the package and a `redis-server` are at hand. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/kit/free-port.ts'
import type { Runner } from '../tiny.ts'

// The few calls that are used: the package is not a dependency of the benchmark.
interface BullMq {
  Queue: new (
    name: string,
    options: object,
  ) => {
    waitUntilReady(): Promise<unknown>
    addBulk(jobs: object[]): Promise<unknown>
    close(): Promise<void>
  }
  Worker: new (
    name: string,
    processor: URL,
    options: object,
  ) => {
    on(event: string, listener: (job: unknown, error: Error) => void): void
    waitUntilReady(): Promise<unknown>
    close(): Promise<void>
  }
}

/** The contestant, or the line that says why it is skipped. */
export async function sandbox(): Promise<Runner | string> {
  if (spawnSync('redis-server', ['--version']).status !== 0)
    return 'BullMQ is skipped: there is no redis-server here.'
  const name = 'bullmq'
  const bullmq: BullMq | null = await import(name).catch(() => null)
  if (bullmq === null) return 'BullMQ is skipped: the package is not installed.'
  const port = await freePort()
  const redis = spawn(
    'redis-server',
    ['--port', String(port), '--save', '', '--appendonly', 'no', '--bind', '127.0.0.1'],
    { stdio: 'ignore' },
  )
  const options = { connection: { host: '127.0.0.1', port } }
  const queue = new bullmq.Queue('noop', options)
  await queue.waitUntilReady()
  const processor = new URL(`file://${fileURLToPath(new URL('../workers/noop.ts', import.meta.url))}`)
  const worker = new bullmq.Worker('noop', processor, { ...options, useWorkerThreads: true, concurrency: 1 })
  await worker.waitUntilReady()
  let left = 0
  let round: PromiseWithResolvers<void> | undefined
  worker.on('completed', () => {
    if (--left === 0) round?.resolve()
  })
  worker.on('failed', (_job, error) => round?.reject(error))
  return {
    name: 'BullMQ, sandboxed thread',
    jobs: 2000,
    async run(jobs) {
      round = Promise.withResolvers<void>()
      left = jobs
      await queue.addBulk(
        Array.from({ length: jobs }, () => ({ name: 'noop', data: {}, opts: { removeOnComplete: true } })),
      )
      await round.promise
    },
    async close() {
      await worker.close()
      await queue.close()
      const exited = once(redis, 'exit')
      redis.kill()
      await exited
    },
  }
}
