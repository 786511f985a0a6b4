import { setTimeout } from 'node:timers/promises'
import type { Handler } from 'aftertask'
import type { sendWelcome } from '../tasks.ts'

/** Stands for a mail server: it takes a tenth of a second, long after the response. */
const handler: Handler<typeof sendWelcome> = async ({ to }, ctx) => {
  await setTimeout(100, undefined, { signal: ctx.signal })
  return `Welcome, ${to}`
}
export default handler
