/** The same small app as its neighbours, on Express. */
// #region mount
import { createRuntime, shutdown } from 'aftertask'
import { afterResponse } from 'aftertask/express'
import express from 'express'
import { reportFailure, sendWelcome } from './tasks.ts'

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
const jobs = afterResponse(runtime)

const app = express()
app.use(jobs, express.json())
// #endregion mount

// #region add
app.post('/signup', (req, res) => {
  const job = req.after('email.welcome', { to: req.body.to })
  res.status(202).json({ job: job.id })
})
// #endregion add

// #region failures
app.get('/broken', (req) => {
  req.after('failure.report', { url: req.url }, { when: 'error' })
  throw Object.assign(new Error('broken'), { status: 409 })
})
app.use(jobs.onError()) // behind the routes: Express keeps its errors to itself
// #endregion failures

// #region stop
const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
shutdown(server, runtime)
// #endregion stop
