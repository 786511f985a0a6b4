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
/** Is tried again after a while. */
export const failsLater = defineTask({
  name: 'fails-later',
  retry: { maxAttempts: 2, backoff: { delay: 300, jitter: false } },
  handler: { module: new URL('./workers/echo.ts', import.meta.url), export: 'fails' },
})

const shared = new URL('./workers/shared.ts', import.meta.url)

/** Runs until it is told to end. */
export const waits = defineTask({ name: 'waits', handler: { module: shared, export: 'waits' } })
/** Results in when it began and ended. */
export const spans = defineTask({ name: 'spans', handler: { module: shared, export: 'spans' } })
/** The same, one at a time. */
export const alone = defineTask({
  name: 'alone',
  concurrency: 1,
  handler: { module: shared, export: 'spans' },
})
