import { setTimeout } from 'node:timers/promises'
import type { Handler } from 'aftertask'
import type { backUp } from '../tasks.ts'

const handler: Handler<typeof backUp> = async ({ milliseconds }, ctx) => {
  await setTimeout(milliseconds, undefined, { signal: ctx.signal })
}
export default handler
