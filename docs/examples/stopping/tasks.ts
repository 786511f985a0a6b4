import { defineTask } from 'aftertask'
import { z } from 'zod'

export const backUp = defineTask({
  name: 'files.back-up',
  payload: z.object({ milliseconds: z.number() }),
  handler: new URL('./workers/back-up.ts', import.meta.url),
})
