import { defineHandler, readBody } from 'h3'

// #region add
export default defineHandler(async (event) => {
  const { to } = await readBody(event)
  const job = event.context.after('email.welcome', { to })
  event.res.status = 202
  return { job: job.id }
})
// #endregion add
