import type { Handler } from 'aftertask'
import type { double } from '../tasks.ts'

const handler: Handler<typeof double> = (n) => n * 2
export default handler
