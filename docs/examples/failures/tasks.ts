import { defineTask } from 'aftertask'
import { z } from 'zod'

// #region retry
export const fetchRate = defineTask({
  name: 'rate.fetch',
  payload: z.object({ currency: z.string() }),
  handler: new URL('./workers/fetch-rate.ts', import.meta.url),
  retry: { maxAttempts: 3, backoff: { type: 'exponential', delay: 10, max: 1000, jitter: true } },
})
// #endregion retry

// #region timeout
export const search = defineTask({
  name: 'pattern.search',
  payload: z.object({ polite: z.boolean() }),
  handler: new URL('./workers/search.ts', import.meta.url),
  timeout: 50, // milliseconds that an attempt may run
  killGrace: 2000, // further milliseconds to react to ctx.signal before the thread is ended
  queueTimeout: 60_000, // milliseconds that a job may wait for its first attempt
})
// #endregion timeout
