/** Tasks of a server that is told to end: quick ones, slow ones, and one that does not listen. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

const module = new URL('./workers.js', import.meta.url)

export const quick = defineTask({ name: 'quick', handler: { module, export: 'quick' } })
export const spin = defineTask({
  name: 'spin',
  payload: z.object({ ms: z.number() }),
  handler: { module, export: 'spin' },
})
export const stubborn = defineTask({
  name: 'stubborn',
  handler: { module, export: 'stubborn' },
  timeout: 200,
})
