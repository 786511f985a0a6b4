/** The five-second task in two forms, as plain functions: what matters is where they run. */
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'

/** Waits, as a task does that talks to a slow service. The thread, or the event loop, has its hands free meanwhile. */
export async function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(seconds * 1000, undefined, { signal })
}

/** Computes, as a task does that makes a PDF or resizes a photograph. Nothing else happens on its thread meanwhile. */
export function burn(seconds: number, signal?: AbortSignal): void {
  const end = performance.now() + seconds * 1000
  let digest = Buffer.alloc(32)
  while (performance.now() < end) {
    // Even a loop that never yields sees an abort here: the signal looks at memory shared with the event loop.
    signal?.throwIfAborted()
    digest = createHash('sha256').update(digest).digest()
  }
}
