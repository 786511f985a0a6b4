import { defineTask } from 'aftertask'
import { z } from 'zod'

export const note = defineTask({
  name: 'note',
  payload: z.string().min(1),
  handler: new URL('./workers/note.ts', import.meta.url),
})
