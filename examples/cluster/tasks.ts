/** What the web process adds and the worker processes run. Both import this file; handlers are loaded in threads only. */
import { defineTask } from 'aftertask'
import { z } from 'zod'

/** Counts the primes below a number: something that takes a processor a while. */
export const countPrimes = defineTask({
  name: 'primes.count',
  payload: z.object({ below: z.int().min(2).max(20_000_000) }),
  result: z.object({ primes: z.int(), pid: z.int() }),
  handler: new URL('./workers/count-primes.ts', import.meta.url),
  timeout: 60_000,
  retry: { maxAttempts: 3 },
})

/** What every worker process is to have, whatever machine it is on. */
export const runtimeOptions = { pool: { threads: 2 } }
