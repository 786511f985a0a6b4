import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as adapter from './adapter.ts'
import * as express from './express.ts'
import * as plain from './plain.ts'

const servers: [Server, typeof plain.runtime][] = [
  [createServer(express.app), express.runtime],
  [plain.server, plain.runtime],
  [adapter.server, adapter.runtime],
]
for (const [server, runtime] of servers) {
  const ran = new Promise((resolve) => runtime.on('job:completed', ({ result }) => resolve(result)))
  runtime.on('job:skipped', ({ reason }) => console.log(reason))
  server.listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await fetch(`http://127.0.0.1:${port}/`)
  console.log(await ran)
  const { status } = await fetch(`http://127.0.0.1:${port}/wrong`)
  console.log(status)
  server.close()
  await runtime.stop()
}
