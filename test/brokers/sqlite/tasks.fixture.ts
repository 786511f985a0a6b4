/** Tasks of the journal's tests. */
import { z } from 'zod'
import { defineTask } from '../../../src/index.ts'

export const echo = defineTask({
  name: 'echo',
  payload: z.unknown(),
  handler: { module: new URL('./workers/echo.ts', import.meta.url), export: 'echo' },
})
export const fails = defineTask({
  name: 'fails',
  retry: { maxAttempts: 2, backoff: { delay: 1, jitter: false } },
  handler: { module: new URL('./workers/echo.ts', import.meta.url), export: 'fails' },
})
