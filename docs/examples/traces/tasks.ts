import { defineTask } from 'aftertask'
import { z } from 'zod'

export const shout = defineTask({
  name: 'shout',
  payload: z.object({ text: z.string() }),
  handler: new URL('./workers/shout.ts', import.meta.url),
})
