import { after } from 'aftertask'

export const dynamic = 'force-dynamic'

// #region failures
export function GET() {
  after('failure.report', { url: '/broken' }, { when: 'error' })
  throw new Error('broken') // answered with 500, by which it is noticed
}
// #endregion failures
