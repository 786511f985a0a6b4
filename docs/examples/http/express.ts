import { afterResponse } from 'aftertask/http'
import express from 'express'
import { note } from '../response/tasks.ts'

const jobs = afterResponse({ tasks: [note] }) // makes the runtime: jobs.runtime

// #region express
export const app = express()
app.use(jobs)
app.get('/', (req, res) => {
  req.after('note', 'from Express')
  res.send('ok')
})
app.use(jobs.onError()) // behind the routes
// #endregion express

export const { runtime } = jobs
