/** A server under load that is told to end: writes what becomes of every job to a file, synchronously, as its witness. */
import { openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRuntime, type EventJob, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/http'
import * as tasks from './tasks.ts'

const [witnessPath = '', timeout = '1500'] = process.argv.slice(2)
const witness = openSync(witnessPath, 'a')
const note = (what: string, job: EventJob): void => void writeSync(witness, `${what} ${job.id} ${job.name}\n`)

const runtime = createRuntime({ tasks, pool: { threads: 1 }, killGrace: 100, log: false })
runtime.on('job:enqueued', ({ job }) => note('accepted', job))
for (const end of ['completed', 'dead', 'cancelled', 'skipped', 'lost'] as const) {
  runtime.on(`job:${end}`, ({ job }) => note(end, job))
}
const after = afterResponse(runtime)
const server = createServer((req, res) => {
  after(req, res, () => {
    req.after('quick')
    const dice = Math.random()
    if (dice < 0.3) req.after('spin', { ms: 5 })
    if (dice < 0.05) req.after('stubborn')
    if (dice > 0.9) req.after('quick', undefined, { delay: 50 })
    setTimeout(() => res.end('ok'), Math.random() * 10)
  })
})
await runtime.ready()
server.listen(0, '127.0.0.1', () => {
  shutdown(server, runtime, { timeout: Number(timeout) })
  process.send?.((server.address() as AddressInfo).port)
})
