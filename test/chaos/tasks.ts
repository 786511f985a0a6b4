/** The tasks of the chaos. Nothing of them ever ends as dead: what has not ended well at last was lost. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

const module = new URL('./workers/work.ts', import.meta.url)
const payload = z.object({
  mark: z.string(),
  ms: z.number(),
  key: z.string().optional(),
  isHeedful: z.boolean().optional(),
})
const forEver = {
  maxCrashes: 100_000,
  retry: { maxAttempts: 100_000, backoff: { type: 'fixed', delay: 50 } },
} as const

export const short = defineTask({ name: 'short', payload, handler: { module, export: 'work' }, ...forEver })
export const keyed = defineTask({
  ...{ name: 'keyed', payload, handler: { module, export: 'work' }, ...forEver },
  key: (work) => work.key ?? '',
})
export const flaky = defineTask({ name: 'flaky', payload, handler: { module, export: 'flaky' }, ...forEver })
/** Only some of the processes have it. */
export const rare = defineTask({ name: 'rare', payload, handler: { module, export: 'work' }, ...forEver })
export const tick = defineTask({ name: 'tick', handler: { module, export: 'tick' }, ...forEver })
