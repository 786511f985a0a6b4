import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
// #region mount
import { createRuntime } from 'aftertask'
import { collectInto, metrics } from 'aftertask/prometheus'
import polka from 'polka'
import { Registry } from 'prom-client'
import { shout } from './tasks.ts'

const runtime = createRuntime({ tasks: [shout] })
const app = polka().get('/metrics', metrics(runtime))
// #endregion mount
await runtime.enqueue(shout, { text: 'hello' }).settled

// #region numbers
const { run, ended } = runtime.metrics().tasks['shout'] ?? {}
console.log(ended?.completed, run?.count, run?.buckets.length)
// #endregion numbers

const { server } = app.listen(0, '127.0.0.1')
if (server === undefined) throw new Error('The app has no server.')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
const page = await (
  await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { connection: 'close' } })
).text()
console.log(page.split('\n').find((line) => line.startsWith('aftertask_jobs_ended_total')))

// #region prom-client
const registry = new Registry() // from prom-client
collectInto(registry, runtime)
// #endregion prom-client
console.log((await registry.metrics()).includes('aftertask_jobs_ended_total'))

server.close()
await runtime.stop()
