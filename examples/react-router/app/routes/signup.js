// #region add
import { after } from 'aftertask'

export async function action({ request }) {
  const { to } = await request.json()
  try {
    return Response.json({ job: after('email.welcome', { to }).id }, { status: 202 })
  } catch (error) {
    return Response.json({ code: error.code }, { status: error.status ?? 500 }) // 400 for a bad payload, 503 for a full queue
  }
}
// #endregion add
