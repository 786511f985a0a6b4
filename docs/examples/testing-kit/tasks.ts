import { defineTask } from 'aftertask'
import { z } from 'zod'

export const chargeCard = defineTask({
  name: 'card.charge',
  payload: z.object({ order: z.string() }),
  result: z.object({ receipt: z.string() }),
  retry: { maxAttempts: 3, backoff: { type: 'fixed', delay: 60_000, jitter: false } },
  timeout: 30_000,
  handler: new URL('./charge-card.ts', import.meta.url),
})

export const tasks = [chargeCard]
