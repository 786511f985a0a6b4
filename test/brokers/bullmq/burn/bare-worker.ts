/** A process with BullMQ's own worker and an inline processor: its jobs burn on the event loop that renews their locks. */
import { appendFileSync } from 'node:fs'
import { Worker } from 'bullmq'
import { bareStore } from './bare-store.ts'

const [url = '', queue = '', file = '', lease = ''] = process.argv.slice(2)
const { connection, factory } = bareStore(url)

const worker = new Worker(
  queue,
  (job) => {
    const write = (what: string): void =>
      appendFileSync(file, `${what} ${job.id} ${process.pid} ${job.attemptsMade + 1} ${Date.now()}\n`)
    write('begin')
    const end = performance.now() + (job.data as { ms: number }).ms
    while (performance.now() < end);
    write('end')
    return Promise.resolve(null)
  },
  { connection, lockDuration: Number(lease), stalledInterval: Number(lease) / 2 } as never,
  factory,
)
// Losing a lock is what this is about.
worker.on('error', () => {})
worker.on('completed', ({ id }) => process.send?.(id))
worker.on('failed', (job) => process.send?.(job?.id))
