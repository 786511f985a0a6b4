import { after } from 'aftertask'

// #region failures
export function loader({ request }) {
  after('failure.report', { url: request.url }, { when: 'error' })
  throw new Error('broken') // answered with 500, by which it is noticed
}
// #endregion failures
