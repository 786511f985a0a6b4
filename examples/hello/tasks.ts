/** The tasks by name and payload. The server imports this file; the handlers' code stays in the threads. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

/** What the task gets to know of its request. Plain data: a live `res` cannot travel to a thread. */
const payload = z.object({ status: z.int(), seconds: z.number() })

/** Takes its time by sleeping. */
export const slowSleep = defineTask({
  name: 'hello.sleep',
  payload,
  handler: new URL('./workers/sleep.ts', import.meta.url),
})

/** Takes its time by computing. */
export const slowBurn = defineTask({
  name: 'hello.burn',
  payload,
  handler: new URL('./workers/burn.ts', import.meta.url),
})
