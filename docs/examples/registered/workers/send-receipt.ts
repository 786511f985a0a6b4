import type { Handler } from 'aftertask'
import type { sendReceipt } from '../tasks.ts'

const handler: Handler<typeof sendReceipt> = ({ order }) => `receipt of ${order}`
export default handler
