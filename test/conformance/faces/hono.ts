import type { Server } from 'node:http'
import { Readable } from 'node:stream'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { afterResponse } from '../../../src/http/frameworks/hono.ts'
import { listen } from '../../kit/serve.ts'
import type { Add, Face, Serving, Turn } from './face.ts'

function appOf({
  runtime,
  route,
  everywhere,
  more = [],
  options,
}: Serving): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const turnOf = (c: { var: { after: unknown }; env: HttpBindings }): Turn => ({
    after: c.var.after as Add,
    req: c.env.incoming,
    res: c.env.outgoing,
  })
  for (const each of [runtime, ...more]) app.use(afterResponse(each, options))
  app.use(async (c, next) => {
    everywhere?.(turnOf(c))
    await next()
  })
  app.get('/', async (c) => {
    const { status = 200, body = 'done', isSent } = await route(turnOf(c))
    if (isSent) return RESPONSE_ALREADY_SENT
    if (status === 204 || status === 304) return c.body(null, status as 204)
    const content = body instanceof Readable ? (Readable.toWeb(body) as ReadableStream) : body
    return c.body(content, status as ContentfulStatusCode)
  })
  app.onError((error, c) => {
    if ('getResponse' in error) return (error as HTTPException).getResponse()
    return c.text('failed', 500)
  })
  return app
}

export const honoFace: Face = {
  name: 'Hono 4',
  failure: (status) => new HTTPException(status as ContentfulStatusCode, { message: 'failed' }),
  serve: (serving) => listen(createAdaptorServer(appOf(serving)) as Server),
  inject: async (serving) => (await appOf(serving).request('/')).status,
}
