import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { H3, type H3Event, HTTPError, HTTPResponse } from 'h3'
import { toNodeHandler } from 'h3/node'
import { afterResponse } from '../../../src/http/frameworks/h3.ts'
import { listen } from '../../kit/serve.ts'
import type { Add, Face, Serving, Turn } from './face.ts'

function appOf({ runtime, route, everywhere, more = [], options }: Serving): H3 {
  const app = new H3({ silent: true })
  const turnOf = (event: H3Event): Turn => ({
    after: event.context.after as unknown as Add,
    req: event.runtime?.node?.req as Turn['req'],
    res: event.runtime?.node?.res as Turn['res'],
  })
  for (const each of [runtime, ...more]) app.use(afterResponse(each, options))
  app.use((event) => {
    everywhere?.(turnOf(event))
  })
  app.get('/', async (event) => {
    const { status = 200, body = 'done', isSent } = await route(turnOf(event))
    if (isSent) return Symbol.for('h3.handled')
    event.res.status = status
    if (status === 204 || status === 304) return null
    return body instanceof Readable
      ? new HTTPResponse(Readable.toWeb(body) as ReadableStream, { status })
      : body
  })
  return app
}

export const h3Face: Face = {
  name: 'h3 2',
  failure: (status) => new HTTPError({ status, message: 'failed' }),
  serve: (serving) => listen(createServer(toNodeHandler(appOf(serving)))),
  inject: async (serving) => (await appOf(serving).request('/')).status,
}
