import { defineTask } from 'aftertask'
import { z } from 'zod'

// #region idempotent
export const charge = defineTask({
  name: 'order.charge',
  payload: z.object({ order: z.string(), cents: z.int() }),
  handler: new URL('./workers/charge.ts', import.meta.url),
  retry: { maxAttempts: 5 },
})
// #endregion idempotent
