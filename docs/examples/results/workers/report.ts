import type { Handler } from 'aftertask'
import type { report } from '../tasks.ts'

const handler: Handler<typeof report> = ({ month }) => ({ month, lines: month.length })
export default handler
