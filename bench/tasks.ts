/** The tasks that are measured. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

/** Nothing to do, nothing to say: the fixed price of a job. */
export const noop = defineTask({ name: 'noop', handler: new URL('./workers/noop.ts', import.meta.url) })

/** Nothing to do, with a small payload that zod checks. */
export const visit = defineTask({
  name: 'visit',
  payload: z.object({ url: z.string(), status: z.number() }),
  handler: new URL('./workers/noop.ts', import.meta.url),
})

/** So many milliseconds of CPU time. */
export const burn = defineTask({
  name: 'burn',
  payload: z.object({ milliseconds: z.number() }),
  handler: new URL('./workers/burn.ts', import.meta.url),
})

/** A payload of one small number. */
export const count = defineTask({
  name: 'count',
  payload: z.object({ n: z.number() }),
  handler: new URL('./workers/noop.ts', import.meta.url),
})

/** Begins and ends a CPU profile of the thread that runs it. */
export const profiled = defineTask({
  name: 'profiled',
  result: z.string().optional(),
  handler: new URL('./workers/profiled.ts', import.meta.url),
})
