import { defineTask } from 'aftertask'
import { z } from 'zod'

const payload = z.object({ text: z.string() })

export const renderPage = defineTask({
  name: 'page.render',
  payload,
  handler: new URL('./workers/render-page.ts', import.meta.url),
})

export const countWords = defineTask({
  name: 'words.count',
  payload,
  handler: new URL('./workers/count-words.ts', import.meta.url),
})
