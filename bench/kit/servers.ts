/** Polka servers on ports of their own, all in this process: the same hello, each with what it does after a response. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import polka, { type Middleware } from 'polka'

/** A server that listens. */
export interface Running extends AsyncDisposable {
  readonly port: number
}

/** Starts a hello server with some middleware before its one route. */
export async function hello(...middleware: Middleware[]): Promise<Running> {
  const app = polka()
  if (middleware.length > 0) app.use(...middleware)
  app.get('/', (_req, res) => void res.end('Hello'))
  app.listen(0, '127.0.0.1')
  const server = app.server as Server
  // The connections idle while another contestant has its turn.
  server.keepAliveTimeout = 0
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
