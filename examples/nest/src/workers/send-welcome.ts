import { setTimeout } from 'node:timers/promises'
import type { HandlerContext } from 'aftertask'

/** Stands for a mail server: it takes a tenth of a second, long after the response. */
export default async ({ to }: { to: string }, ctx: HandlerContext): Promise<string> => {
  await setTimeout(100, undefined, { signal: ctx.signal })
  return `Welcome, ${to}`
}
