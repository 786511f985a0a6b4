// #region add
import { after } from 'next/server'

export async function POST(request) {
  const payload = await request.json()
  after(() => globalThis.jobs.enqueue('email.welcome', payload).settled) // once the response is over
  return new Response(null, { status: 202 })
}
// #endregion add
