import { createServer } from 'node:http'
import Koa from 'koa'
import { afterResponse } from '../../../src/http/frameworks/koa.ts'
import { listen } from '../../kit/serve.ts'
import { type Add, errorWithStatus, type Face, type Serving, type Turn } from './face.ts'

export const koaFace: Face = {
  name: 'Koa 3',
  failure: errorWithStatus,
  async serve({ runtime, route, everywhere, more = [], options }: Serving) {
    const app = new Koa()
    app.silent = true
    const turnOf = (ctx: Koa.Context): Turn => ({
      after: ctx.after as unknown as Add,
      req: ctx.req,
      res: ctx.res,
    })
    for (const each of [runtime, ...more]) app.use(afterResponse(each, options))
    app.use(async (ctx, next) => {
      everywhere?.(turnOf(ctx))
      if (ctx.path === '/') await next()
    })
    app.use(async (ctx) => {
      const { status = 200, body = 'done', isSent } = await route(turnOf(ctx))
      if (isSent) {
        ctx.respond = false
        return
      }
      if (status !== 204 && status !== 304) ctx.body = body
      ctx.status = status
    })
    return listen(createServer(app.callback()))
  },
}
