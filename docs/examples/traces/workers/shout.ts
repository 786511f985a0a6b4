import type { Handler } from 'aftertask'
import type { shout } from '../tasks.ts'

const handler: Handler<typeof shout> = ({ text }) => text.toUpperCase()
export default handler
