/** The job that only computes: it keeps a processor busy until it has used so many milliseconds of CPU time. */

// Milliseconds: a longer step was a pause, when somebody else had the processor.
const PAUSE = 0.2

/**
 * What the system says of a thread's CPU time moves in steps of up to four milliseconds, and whoever waits for it works
 * until the next step; so it is measured here, in steps of microseconds.
 */
export default function burn({ milliseconds }: { milliseconds: number }): number {
  let used = 0
  let value = 0
  let last = performance.now()
  while (used < milliseconds) {
    for (let index = 0; index < 500; index++) value = Math.sqrt(value + index)
    const now = performance.now()
    if (now - last < PAUSE) used += now - last
    last = now
  }
  return value
}
