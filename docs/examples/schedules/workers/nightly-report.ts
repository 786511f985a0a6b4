import type { Handler } from 'aftertask'
import type { nightlyReport } from '../tasks.ts'

// A scheduled job does not know which night it is for: it may run late, or make up for a run that was missed.
const handler: Handler<typeof nightlyReport> = ({ recipient }) => {
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  return `report of ${yesterday} for ${recipient}`
}
export default handler
