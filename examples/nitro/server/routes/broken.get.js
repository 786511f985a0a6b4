import { defineHandler, HTTPError } from 'h3'

// #region failures
export default defineHandler((event) => {
  event.context.after('failure.report', { url: event.url.pathname }, { when: 'error' })
  throw new HTTPError({ status: 409, message: 'broken' })
})
// #endregion failures
