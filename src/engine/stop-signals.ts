/**
 * Signals that ask a process to stop. One press of Ctrl+C may arrive as two or three signals: the terminal sends one to the
 * whole group, and `concurrently`, `pnpm` or `tsx` pass on theirs. What comes close together is therefore one request.
 */
import type { Clock } from '../words/clock.ts'

/** Milliseconds after the first signal of a request within which further ones belong to it. */
export const SAME_REQUEST = 500

/** What signals do. */
export interface StopSignals {
  readonly signals: readonly NodeJS.Signals[]
  readonly clock: Clock
  /** The first request: stop in good order. */
  begin(signal: NodeJS.Signals): void
  /** The second one: stop at once. A third is left to the system, which ends the process. */
  hurry(signal: NodeJS.Signals): void
}

/** Listens to the signals; returns the call that listens no more. */
export function onStopSignals({ signals, clock, begin, hurry }: StopSignals): () => void {
  let requests = 0
  let since = Number.NEGATIVE_INFINITY
  let clearTimer = (): void => {}
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = clock.now()
    if (now - since < SAME_REQUEST) return
    since = now
    requests++
    if (requests === 1) return begin(signal)
    if (requests === 2) {
      // From then on the default action takes over, which no event loop that stands can hold up.
      clearTimer = clock.timer(SAME_REQUEST, remove)
      return hurry(signal)
    }
    remove()
    process.kill(process.pid, signal)
  }
  const remove = (): void => {
    clearTimer()
    for (const signal of signals) process.off(signal, onSignal)
  }
  for (const signal of signals) process.on(signal, onSignal)
  return remove
}
