/** The server's routes: sign up, and follow the jobs. */
import { randomUUID } from 'node:crypto'
import type { Runtime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka, { type ErrorHandler, type IError, type Polka, type Response } from 'polka'
import { readJson } from './read-json.ts'
import { createProfile, notifyTeam, sendWelcome, signup } from './tasks.ts'

/** The app over a runtime: the server's, or that of a test. */
export function signupApp(runtime: Runtime): Polka {
  const app = polka({ onError: answerError })
    // The jobs of a request run one after the other anyway. With 'stop', a failed one also ends the chain: nobody is
    // welcomed to a profile that could not be made.
    .use(afterResponse(runtime, { onFailure: 'stop' }))

  app.post('/signup', async (req, res) => {
    const body = signup.safeParse(await readJson(req))
    if (!body.success)
      return answer(res, 400, { error: 'This signup is not valid.', issues: body.error.issues })
    // The id is drawn here, since a payload cannot hold what an earlier job will return.
    const user = randomUUID()
    const jobs = [
      req.after(createProfile, { ...body.data, user }),
      req.after(sendWelcome, { user }),
      req.after(notifyTeam, { user }),
    ]
    answer(res, 202, { user, jobs: jobs.map(({ id, name }) => ({ id, name })) })
  })

  app.get('/jobs/:id', async (req, res) => {
    const job = await runtime.job(req.params.id ?? '')
    if (job === undefined) return answer(res, 404, { error: 'There is no such job.' })
    const { id, name, state, result, error, reason } = job
    answer(res, 200, { id, name, state, result, error: error?.message, reason })
  })
  return app
}

function answer(res: Response, status: number, body: object): void {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(`${JSON.stringify(body)}\n`)
}

// Errors with a status are meant for the client. That goes for aftertask's own as well: a full queue or a runtime that
// is stopping is a 503, and then none of the three jobs runs, whichever of them was refused.
function answerError(...[error, _req, res]: Parameters<ErrorHandler>): void {
  if (res.destroyed || res.headersSent) return void res.destroy()
  const { status = 500, message }: IError = typeof error === 'string' ? new Error(error) : error
  if (status >= 500) console.error(error)
  answer(res, status, {
    error: status < 500 ? message || 'There is nothing here.' : 'Please try again later.',
  })
}
