/** The faces whose handlers take `(req, res, next)`, and Node without a framework. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import express from 'express'
import polka from 'polka'
import polka05 from 'polka-05'
import { afterResponse as afterExpress } from '../../../src/http/frameworks/express.ts'
import { afterResponse as afterAny, failed } from '../../../src/http/index.ts'
import { afterResponse as afterPolka } from '../../../src/http/polka.ts'
import { listen, listenPolka } from '../../kit/serve.ts'
import { type Add, type Answer, errorWithStatus, type Face, type Serving, type Turn } from './face.ts'

function turnOf(req: IncomingMessage, res: ServerResponse): Turn {
  return { after: req.after as unknown as Add, req, res }
}

/** Answers as a handler does that has no framework to answer for it. */
function send(res: ServerResponse, { status = 200, body = 'done', isSent }: Answer): void {
  if (isSent) return
  res.statusCode = status
  if (body instanceof Readable) {
    body.on('error', (error) => res.destroy(error))
    body.pipe(res)
  } else if (status === 204 || status === 304) res.end()
  else res.end(body)
}

export const polkaFace: Face = {
  name: 'Polka 1.0',
  failure: errorWithStatus,
  async serve({ runtime, route, everywhere, more = [], options }: Serving) {
    const app = polka()
    for (const each of [runtime, ...more]) app.use(afterPolka(each, options))
    app.use((req, res, next) => {
      everywhere?.(turnOf(req, res))
      return next()
    })
    app.get('/', async (req, res) => send(res, await route(turnOf(req, res))))
    return listenPolka(app)
  },
}

export const polka05Face: Face = {
  name: 'Polka 0.5',
  failure: errorWithStatus,
  async serve({ runtime, route, everywhere, more = [], options }: Serving) {
    const app = polka05()
    for (const each of [runtime, ...more]) app.use(afterPolka(each, options))
    app.use((req: IncomingMessage, res: ServerResponse, next: () => void) => {
      everywhere?.(turnOf(req, res))
      next()
    })
    const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> =>
      send(res, await route(turnOf(req, res)))
    // Polka 0.5 looks for a route of HEAD alone.
    app.get('/', answer)
    app.head('/', answer)
    return listenPolka(app)
  },
}

export const expressFace: Face = {
  name: 'Express 5',
  failure: errorWithStatus,
  async serve({ runtime, route, everywhere, more = [], options }: Serving) {
    const app = express()
    // Express prints what its own error handler answers, but for tests.
    app.set('env', 'test')
    const middlewares = [runtime, ...more].map((each) => afterExpress(each, options))
    for (const middleware of middlewares) app.use(middleware)
    app.use((req, res, next) => {
      everywhere?.(turnOf(req, res))
      next()
    })
    app.get('/', async (req, res) => {
      const { status = 200, body = 'done', isSent } = await route(turnOf(req, res))
      if (isSent) return
      if (body instanceof Readable) send(res, { status, body })
      else res.status(status).send(body)
    })
    for (const middleware of middlewares) app.use(middleware.onError())
    return listen(createServer(app))
  },
}

export const plainFace: Face = {
  name: 'node:http',
  failure: errorWithStatus,
  async serve({ runtime, route, everywhere, more = [], options }: Serving) {
    const middlewares = [runtime, ...more].map((each) => afterAny(each, options))
    const server = createServer(async (req, res) => {
      for (const middleware of middlewares) middleware(req, res)
      everywhere?.(turnOf(req, res))
      if (req.url !== '/') return send(res, { status: 404, body: 'not found' })
      try {
        send(res, await route(turnOf(req, res)))
      } catch (error) {
        failed(res, error)
        const { status = 500 } = error as { status?: number }
        send(res, { status, body: 'failed' })
      }
    })
    return listen(server)
  },
}
