/** The same small app as its neighbours, on Hono. */
// #region mount
import { type HttpBindings, serve } from '@hono/node-server'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/hono'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })

const app = new Hono<{ Bindings: HttpBindings }>()
app.use(afterResponse(runtime))
// #endregion mount

// #region add
app.post('/signup', async (c) => {
  const { to } = await c.req.json()
  const job = c.var.after('email.welcome', { to })
  return c.json({ job: job.id }, 202)
})
// #endregion add

// #region failures
app.get('/broken', (c) => {
  c.var.after('failure.report', { url: c.req.path }, { when: 'error' })
  throw new HTTPException(409, { message: 'broken' })
})
// #endregion failures

// #region stop
const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' })
shutdown(server, runtime)
// #endregion stop
