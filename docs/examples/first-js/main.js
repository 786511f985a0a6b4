import { once } from 'node:events'

process.env.PORT = '0'
const { app, runtime } = await import('./server.js')
if (!app.server.listening) await once(app.server, 'listening')

const done = new Promise((resolve) => runtime.on('job:completed', resolve))
const { port } = /** @type {import('node:net').AddressInfo} */ (app.server.address())
const response = await fetch(`http://127.0.0.1:${port}/signup`, { method: 'POST' })
console.log(response.status, Object.keys(/** @type {object} */ (await response.json())))
await done

app.server.close()
await runtime.stop()
