import type { Handler } from 'aftertask'
import type { countWords } from '../tasks.ts'

const handler: Handler<typeof countWords> = ({ text }) => text.split(/\s+/).length
export default handler
