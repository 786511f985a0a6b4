/** Handlers of every temper: they finish, fail, hang, spin, leak, exit and run out of memory. */
import type { HandlerContext } from 'aftertask'

/** Does nothing. */
export const noop = (): void => {}

/** Burns CPU for a few milliseconds. */
export function spin({ ms }: { ms: number }): number {
  const end = performance.now() + ms
  let turns = 0
  while (performance.now() < end) turns++
  return turns
}

/** Fails two times in three. */
export function flaky(_payload: unknown, { attempt }: HandlerContext): string {
  if (attempt < 3) throw new Error(`attempt ${attempt} fails`)
  return 'at last'
}

/** Takes its thread with it. */
export const exit = (): never => process.exit(7)

/** Never ends by itself and never yields. */
export function hang(): never {
  for (;;);
}

/** Waits until it is told to stop. */
export async function wait(_payload: unknown, { signal }: HandlerContext): Promise<void> {
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

/** Throws when nobody is there to catch it, after it has returned. */
export function late(): void {
  setTimeout(() => {
    throw new Error('too late')
  }, 1)
}

/** Fills the heap until the thread is ended. */
export function glutton(): void {
  const food: number[][] = []
  for (;;) food.push(new Array(100_000).fill(Math.random()))
}

/** Waits a little, as a call to another server would. */
export async function call({ ms }: { ms: number }): Promise<{ ok: boolean; body: string }> {
  await new Promise((resolve) => setTimeout(resolve, ms))
  return { ok: true, body: 'x'.repeat(200) }
}
