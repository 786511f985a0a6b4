/**
 * Time as a port: the engine reads clocks and sets timers only through this, so tests and the simulation
 * run it in virtual time, and a wall clock that jumps cannot move a deadline.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { uptime } from 'node:os'
// Not the global: that one is looked up anew at every call.
import { performance } from 'node:perf_hooks'

/** What the engine asks of time. */
export interface Clock {
  /** Milliseconds on a scale that never goes back; its zero means nothing. */
  now(): number
  /** Milliseconds since 1970, for what people and other processes read. May jump. */
  wall(): number
  /** Milliseconds since the machine was started, its sleep included; absent where time is not real. */
  uptime?(): number
  /** True where nobody can set the wall clock: it goes exactly with `now`. */
  readonly isNeverSet?: boolean
  /** Calls back once after `delay` milliseconds; returns the call that takes it back. Does not keep the process alive. */
  timer(delay: number, callback: () => void): () => void
  /** Calls back once at the end of this turn of the event loop, after the I/O that is at hand. */
  soon(callback: () => void): void
  /** Calls back once when the code that runs now is through, before anything else; absent where time is not real. */
  atOnce?(callback: () => void): void
  /** Milliseconds that the event loop has been busy since the process started; absent where time is not real. */
  loopActive?(): number
}

// Node clamps a longer delay to 1 ms; a wait that long is simply cut into several.
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * The zero of this thread's `performance.now()` on the scale of `process.hrtime`, in milliseconds. Every thread has a
 * zero of its own, but hrtime is one scale for all: with the zeros, times can be compared across threads.
 *
 * The two are read one after the other, and on a busy machine the thread may lose its processor in between, for
 * milliseconds. So they are read several times, and those count that lie closest together.
 */
export function clockZero(now = () => performance.now(), scale = hrtime): number {
  let zero = 0
  let closest = Number.POSITIVE_INFINITY
  for (let reading = 0; reading < READINGS; reading++) {
    const before = now()
    const at = scale()
    const apart = now() - before
    if (apart >= closest) continue
    closest = apart
    zero = at - before - apart / 2
  }
  return zero
}

const READINGS = 5

function hrtime(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

// A timer calls back in the context in which it was set. That is often a request, whose store the listeners of a
// later event are not to see, and which is not to stay in memory for as long as the timer.
const outsideOfRequests = AsyncLocalStorage.snapshot()

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  uptime: () => uptime() * 1000,
  timer(delay, callback) {
    const handle = outsideOfRequests(setTimeout, callback, Math.min(Math.max(delay, 0), LONGEST_TIMER))
    handle.unref()
    return () => clearTimeout(handle)
  },
  soon: (callback) => void outsideOfRequests(setImmediate, callback),
  atOnce: (callback) => outsideOfRequests(queueMicrotask, callback),
  loopActive: () => performance.eventLoopUtilization().active,
}
