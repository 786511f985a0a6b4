/** Handlers that do what handlers do. */
import { once } from 'node:events'
import type { Handler } from 'aftertask'
import type * as tasks from '../tasks.ts'

export const greet: Handler<typeof tasks.greet> = ({ to }, ctx) => {
  ctx.progress({ half: true })
  ctx.log.info('greeting', { to })
  return `Hello, ${to}`
}

export const flaky: Handler<typeof tasks.flaky> = ({ failures }, ctx) => {
  if (ctx.attempt <= failures) throw new Error(`attempt ${ctx.attempt} fails`)
  return ctx.attempt
}

export const broken: Handler<typeof tasks.broken> = () => {
  throw new Error('broken for good')
}

/** Heeds its signal, and does nothing else. */
export const stuck: Handler<typeof tasks.stuck> = async (_payload, { signal }) => {
  signal.throwIfAborted()
  await once(signal, 'abort')
  signal.throwIfAborted()
}

export const parent: Handler<typeof tasks.parent> = async (children, ctx) => {
  for (let child = 1; child <= children; child++) await ctx.enqueue('greet', { to: `child ${child}` })
}

/** Returns what does not travel. */
export const odd: Handler<typeof tasks.odd> = () => () => 'a function'
