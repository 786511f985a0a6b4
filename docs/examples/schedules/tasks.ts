import { defineTask } from 'aftertask'
import { z } from 'zod'

export const nightlyReport = defineTask({
  name: 'report.nightly',
  payload: z.object({ recipient: z.email() }),
  handler: new URL('./workers/nightly-report.ts', import.meta.url),
  retry: { maxAttempts: 3 },
})
