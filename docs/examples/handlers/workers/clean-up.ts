import type { Handler } from 'aftertask'
import type { cleanUp } from '../tasks.ts'

const handler: Handler<typeof cleanUp> = (_payload, ctx) => `cleaned up by attempt ${ctx.attempt}`
export default handler
