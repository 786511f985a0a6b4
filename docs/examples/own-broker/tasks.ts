import { defineTask } from 'aftertask'
import { z } from 'zod'

export const double = defineTask({
  name: 'double',
  payload: z.number(),
  result: z.number(),
  handler: new URL('./workers/double.ts', import.meta.url),
})
