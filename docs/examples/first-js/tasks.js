import { defineTask } from 'aftertask'
import { z } from 'zod'

export const sendWelcome = defineTask({
  name: 'email.welcome',
  payload: z.object({ to: z.email() }),
  handler: new URL('./workers/send-welcome.js', import.meta.url),
})
