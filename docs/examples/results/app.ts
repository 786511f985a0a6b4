import type { Runtime } from 'aftertask'
import { afterResponse } from 'aftertask/polka'
import polka from 'polka'
import { report } from './tasks.ts'

/** The same server before and after a restart. */
export function serve(runtime: Runtime<typeof report>) {
  const app = polka()
  // #region routes
  app.use(afterResponse(runtime))
  app.post('/reports/:month', async (req, res) => {
    const job = req.after(report, { month: req.params.month ?? '' })
    await job.stored // what the client is told next survives a crash
    res.statusCode = 202
    res.setHeader('location', `/jobs/${job.id}`)
    res.end()
  })
  app.get('/jobs/:id', async (req, res) => {
    const job = await runtime.job(req.params.id ?? '')
    res.statusCode = job === undefined ? 404 : 200
    res.end(JSON.stringify({ state: job?.state, result: job?.result }))
  })
  // #endregion routes
  return app
}
