/** A look that is taken again and again. */
import type { Clock } from '../../words/clock.ts'

/** Calls back every so many milliseconds; returns the call that ends it. */
export function every(clock: Clock, milliseconds: number, look: () => void): () => void {
  let stop = (): void => {}
  const arm = (): void => {
    stop = clock.timer(milliseconds, () => {
      // Set before the look, which may end it.
      arm()
      look()
    })
  }
  arm()
  return () => stop()
}
