import { defineTask } from 'aftertask'
import { z } from 'zod'

export const countPrimes = defineTask({
  name: 'primes.count',
  payload: z.object({ below: z.int().min(2) }),
  result: z.int(),
  handler: new URL('./workers/count-primes.ts', import.meta.url),
})
