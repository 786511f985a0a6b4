import { defineTask } from 'aftertask'
import { z } from 'zod'

// #region retention
export const report = defineTask({
  name: 'report.make',
  payload: z.object({ month: z.string() }),
  handler: new URL('./workers/report.ts', import.meta.url),
  retention: { age: 7 * 24 * 3_600_000 }, // whoever has asked for a report has a week to fetch it
})
// #endregion retention
