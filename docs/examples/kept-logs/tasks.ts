import { defineTask } from 'aftertask'

export const report = defineTask({
  name: 'report',
  handler: new URL('./workers/report.js', import.meta.url),
  logs: { lines: 200 },
})
