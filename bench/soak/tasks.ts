/** The tasks of the soak. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

const module = new URL('./workers.js', import.meta.url)
const ms = z.object({ ms: z.number() })

export const noop = defineTask({ name: 'noop', handler: { module, export: 'noop' } })
export const spin = defineTask({ name: 'spin', payload: ms, handler: { module, export: 'spin' } })
export const flaky = defineTask({
  name: 'flaky',
  handler: { module, export: 'flaky' },
  retry: { maxAttempts: 3, backoff: { delay: 20, max: 100 } },
})
export const exit = defineTask({
  name: 'exit',
  handler: { module, export: 'exit' },
  onCrash: 'fail',
  pool: 'rough',
})
export const hang = defineTask({
  name: 'hang',
  handler: { module, export: 'hang' },
  timeout: 30,
  killGrace: 20,
  pool: 'rough',
})
export const wait = defineTask({ name: 'wait', handler: { module, export: 'wait' }, timeout: 40, pool: 'io' })
export const late = defineTask({ name: 'late', handler: { module, export: 'late' }, pool: 'rough' })
export const glutton = defineTask({
  name: 'glutton',
  handler: { module, export: 'glutton' },
  onCrash: 'fail',
  pool: 'rough',
})
export const call = defineTask({ name: 'call', payload: ms, handler: { module, export: 'call' }, pool: 'io' })
export const keyed = defineTask({
  name: 'keyed',
  payload: ms,
  handler: { module, export: 'spin' },
  key: 'one',
})
