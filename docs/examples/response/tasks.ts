import { defineTask } from 'aftertask'
import { z } from 'zod'

export const note = defineTask({
  name: 'note',
  payload: z.string().min(1),
  handler: new URL('./workers/note.ts', import.meta.url),
})

export const thumbnail = defineTask({
  name: 'thumbnail',
  payload: z.object({ file: z.string() }),
  handler: new URL('./workers/thumbnail.ts', import.meta.url),
})
