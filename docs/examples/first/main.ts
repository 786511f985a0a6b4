import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

process.env.PORT = '0'
const { app, runtime } = await import('./server.ts')
await once(app.server, 'listening')
const { port } = app.server.address() as AddressInfo

runtime.on('job:log', ({ job, message }) => console.log(`${job.name}: ${message}`))
const done = new Promise((resolve) => runtime.on('job:completed', resolve))
const response = await fetch(`http://127.0.0.1:${port}/signup`, { method: 'POST' })
console.log(response.status, Object.keys((await response.json()) as object))
await done

app.server.close()
await runtime.stop()
await runtime.stop()
