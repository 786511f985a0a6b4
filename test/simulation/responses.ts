/** The ways in which a simulated response ends. */
import type { ResponseFacts } from '../../src/words/job.ts'
import type { ResponseEnd } from './plan.ts'

const request = { method: 'POST', url: '/' }

/** What each end looks like to `when`. */
export const RESPONSES: Readonly<Record<ResponseEnd, { readonly facts: ResponseFacts }>> = {
  sent: { facts: { ...request, statusCode: 200, outcome: 'sent', error: undefined } },
  'status 500': { facts: { ...request, statusCode: 500, outcome: 'sent', error: undefined } },
  error: { facts: { ...request, statusCode: 200, outcome: 'sent', error: new Error('request failed') } },
  aborted: { facts: { ...request, statusCode: 200, outcome: 'aborted', error: undefined } },
}
