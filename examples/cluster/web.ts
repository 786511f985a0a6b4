/** The web process: answers at once, and runs no job itself. What it adds is run by the worker processes. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createRuntime, shutdown } from 'aftertask'
import { bullmqBroker } from 'aftertask/bullmq'
import { afterResponse } from 'aftertask/polka'
import polka from 'polka'
import { countPrimes } from './tasks.ts'

const runtime = createRuntime({
  tasks: [countPrimes],
  broker: bullmqBroker({
    connection: process.env.AFTERTASK_STORE ?? 'redis://127.0.0.1:6379',
    role: 'producer',
    whenDown: 'buffer',
  }),
})

const app = polka().use(afterResponse(runtime))

app.post('/primes/:below', (req, res) => {
  const job = req.after(countPrimes, { below: Number(req.params.below) })
  res.writeHead(202, { 'content-type': 'application/json' }).end(`${JSON.stringify({ job: job.id })}\n`)
})

app.get('/jobs/:id', async (req, res) => {
  const job = await runtime.job(req.params.id ?? '')
  res.writeHead(job === undefined ? 404 : 200, { 'content-type': 'application/json' })
  // What the client needs of it: errors and the history of attempts hold stacks, and paths of the machine.
  const answer =
    job === undefined
      ? { error: 'There is no such job.' }
      : { id: job.id, state: job.state, attempts: job.attempts, progress: job.progress, result: job.result }
  res.end(`${JSON.stringify(answer)}\n`)
})

app.get('/counts', async (_req, res) => {
  res.end(`${JSON.stringify(await runtime.counts())}\n`)
})

app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1')
await once(app.server, 'listening')
shutdown(app.server, runtime)
const address = `http://localhost:${(app.server.address() as AddressInfo).port}`
console.log(`
the web process listens on ${address}. Try, in another terminal:

  curl -X POST ${address}/primes/5000000      adds a job, and prints its id
  curl ${address}/jobs/ID                     what became of it, and which process ran it
  curl ${address}/counts                      how many jobs are in each state
`)
