/** The same small app as its neighbours, on h3. */
// #region mount
import { createServer } from 'node:http'
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/h3'
import { H3, HTTPError, readBody } from 'h3'
import { toNodeHandler } from 'h3/node'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })

const app = new H3()
app.use(afterResponse(runtime))
// #endregion mount

// #region add
app.post('/signup', async (event) => {
  const body = await readBody<{ to: string }>(event)
  const job = event.context.after('email.welcome', { to: body?.to ?? '' })
  event.res.status = 202
  return { job: job.id }
})
// #endregion add

// #region failures
app.get('/broken', (event) => {
  event.context.after('failure.report', { url: event.url.pathname }, { when: 'error' })
  throw new HTTPError({ status: 409, message: 'broken' })
})
// #endregion failures

// #region stop
const server = createServer(toNodeHandler(app))
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
shutdown(server, runtime)
// #endregion stop
