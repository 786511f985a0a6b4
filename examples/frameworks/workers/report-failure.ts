import type { Handler } from 'aftertask'
import type { reportFailure } from '../tasks.ts'

const handler: Handler<typeof reportFailure> = ({ url }) => `${url} has failed`
export default handler
