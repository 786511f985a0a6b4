/** Imports aftertask and creates a runtime, and tells how long each took: a program for `start`, run in a process of its own. */
import { answer } from './kit/child.ts'

/** Milliseconds. */
export interface Started {
  readonly zod: number
  readonly imported: number
  readonly created: number
  readonly ready: number
}

let time = performance.now()
const lap = (): number => {
  const before = time
  time = performance.now()
  return time - before
}

const { z } = await import('zod')
const zod = lap()
const { createRuntime, defineTask } = await import('aftertask')
const imported = lap()
const handler = new URL('./workers/noop.ts', import.meta.url)
const task = defineTask({ name: 'noop', handler, payload: z.object({ url: z.string() }) })
lap()
const runtime = createRuntime({ tasks: [task] })
const created = lap()
await runtime.ready()
const ready = created + lap()
await runtime.stop()
answer({ zod, imported, created, ready } satisfies Started)
