/** The same small app as its neighbours, on Koa. */
// #region mount
import { json } from 'node:stream/consumers'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/koa'
import Koa from 'koa'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })

const app = new Koa()
app.use(afterResponse(runtime)) // behind an error middleware of your own, if there is one
// #endregion mount

// #region add
app.use(async (ctx, next) => {
  if (ctx.path !== '/signup') return next()
  const { to } = (await json(ctx.req)) as { to: string }
  const job = ctx.after('email.welcome', { to })
  ctx.status = 202
  ctx.body = { job: job.id }
})
// #endregion add

// #region failures
app.use(async (ctx, next) => {
  if (ctx.path !== '/broken') return next()
  ctx.after('failure.report', { url: ctx.url }, { when: 'error' })
  return ctx.throw(409, 'broken')
})
// #endregion failures

// #region stop
const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
shutdown(server, runtime)
// #endregion stop
