import { createRuntime, defineTask } from 'aftertask'
import { z } from 'zod'

const sendWelcome = defineTask({
  name: 'email.welcome',
  payload: z.object({ to: z.email() }),
  pool: 'io', // it waits for a mail server: many at a time on one thread
  handler: new URL('./workers/send-welcome.js', import.meta.url),
})

const reportFailure = defineTask({
  name: 'failure.report',
  payload: z.object({ url: z.string() }),
  handler: new URL('./workers/report-failure.js', import.meta.url),
})

export const runtime = createRuntime({ tasks: [sendWelcome, reportFailure] })
