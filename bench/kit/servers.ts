/** Polka servers on ports of their own, all in this process: the same hello, each with what it does after a response. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import polka, { type Middleware, type Request, type Response } from 'polka'

/** A server that listens. */
export interface Running extends AsyncDisposable {
  readonly port: number
}

/** What a hello server does besides. */
export interface HelloOptions {
  /** Middleware before its one route. */
  readonly use?: readonly Middleware[]
  /** What the route does before it answers, where most servers add their jobs. */
  readonly first?: (req: Request, res: Response) => void
}

/** Starts a hello server. */
export async function hello({ use = [], first }: HelloOptions = {}): Promise<Running> {
  const app = polka()
  if (use.length > 0) app.use(...use)
  // The plain server's route is the shortest there is, without so much as a question what else to do.
  if (first === undefined) app.get('/', (_req, res) => void res.end('Hello'))
  else {
    app.get('/', (req, res) => {
      first(req, res)
      res.end('Hello')
    })
  }
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
