/** The one task: makes three sizes of an uploaded photograph. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

/** The sizes by name, and how wide each is at most, in pixels. */
export const sizes = { large: 1600, medium: 800, small: 320 } as const

export const resizePhoto = defineTask({
  name: 'photo.resize',
  // An id and no bytes: the photograph is on the disk already, and a payload is copied.
  payload: z.object({ photo: z.uuid() }),
  // What the handler must return: its type here and in every `job.result()`, and checked when it does.
  result: z.object({
    photo: z.uuid(),
    width: z.int(),
    height: z.int(),
    sizes: z.array(
      z.object({ name: z.string(), width: z.int(), height: z.int(), bytes: z.int(), url: z.string() }),
    ),
  }),
  handler: new URL('./workers/resize.ts', import.meta.url),
  // Counted from the start of the work. Whatever a decoder finds in a file, it does not keep a thread for longer.
  timeout: 60_000,
})
