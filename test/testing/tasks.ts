/** The tasks of the tests of the testing kit. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

const handler = (name: string) => ({ module: new URL('./handlers/all.ts', import.meta.url), export: name })

export const greet = defineTask({
  name: 'greet',
  payload: z.object({ to: z.string(), at: z.date().optional() }),
  result: z.string(),
  handler: handler('greet'),
})
export const flaky = defineTask({
  name: 'flaky',
  payload: z.object({ failures: z.number() }),
  result: z.number(),
  retry: { maxAttempts: 5, backoff: { type: 'fixed', delay: 60_000, jitter: false } },
  handler: handler('flaky'),
})
export const broken = defineTask({ name: 'broken', handler: handler('broken') })
export const stuck = defineTask({
  name: 'stuck',
  handler: handler('stuck'),
  timeout: 30_000,
  killGrace: 1000,
})
export const parent = defineTask({ name: 'parent', payload: z.number(), handler: handler('parent') })
const anything = defineTask({ name: 'anything', payload: z.unknown(), handler: handler('odd') })
export const odd = defineTask({ name: 'odd', handler: handler('odd') })

export const tasks = [greet, flaky, broken, stuck, parent, odd, anything] as const
