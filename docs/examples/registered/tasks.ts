import { defineTask } from 'aftertask'
import { z } from 'zod'

export const sendReceipt = defineTask({
  name: 'receipt.send',
  payload: z.object({ order: z.int() }),
  handler: new URL('./workers/send-receipt.ts', import.meta.url),
})
