import { after } from 'aftertask'

// #region failures
export function GET({ url }) {
  after('failure.report', { url: url.pathname }, { when: 'error' })
  throw new Error('broken') // answered with 500, by which it is noticed
}
// #endregion failures
