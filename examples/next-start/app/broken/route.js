import { after } from 'next/server'

export const dynamic = 'force-dynamic'

function save() {
  throw new Error('broken')
}

// #region failures
export function GET() {
  let hasFailed = true
  after(() => hasFailed && globalThis.jobs.enqueue('failure.report', { url: '/broken' }).settled)
  save() // throws
  hasFailed = false
  return new Response('saved')
}
// #endregion failures
