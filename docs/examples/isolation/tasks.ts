import { defineTask } from 'aftertask'
import { z } from 'zod'

export const misbehave = defineTask({
  name: 'misbehave',
  payload: z.enum(['exit', 'reject', 'loop', 'memory', 'function', 'global']),
  handler: new URL('./workers/misbehave.ts', import.meta.url),
  timeout: 2000,
  onCrash: 'fail', // by default a crash is tried again, twice
})
