/** The tasks that every app of this folder adds. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

export const sendWelcome = defineTask({
  name: 'email.welcome',
  payload: z.object({ to: z.email() }),
  pool: 'io', // it waits for a mail server: many at a time on one thread
  handler: new URL('./workers/send-welcome.ts', import.meta.url),
})

export const reportFailure = defineTask({
  name: 'failure.report',
  payload: z.object({ url: z.string() }),
  handler: new URL('./workers/report-failure.ts', import.meta.url),
})
