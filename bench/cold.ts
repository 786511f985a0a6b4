/** From nothing to the end of the first job, aftertask or Piscina: a program for `start`, run in a process of its own. */
import { answer } from './kit/child.ts'

/** Milliseconds from the creation of the pool to the end of its first job. */
export interface Cold {
  readonly first: number
}

const payload = { url: '/' }

if (process.argv[2] === 'piscina') {
  const { piscinaFor } = await import('./kit/naive.ts')
  const began = performance.now()
  await piscinaFor('noop').run(payload)
  answer({ first: performance.now() - began } satisfies Cold)
} else {
  const { z } = await import('zod')
  const { createRuntime, defineTask } = await import('aftertask')
  const handler = new URL('./workers/noop.ts', import.meta.url)
  const task = defineTask({ name: 'noop', handler, payload: z.object({ url: z.string() }) })
  const began = performance.now()
  await createRuntime({ tasks: [task], pool: { threads: 1 } }).enqueue(task, payload).settled
  answer({ first: performance.now() - began } satisfies Cold)
}
