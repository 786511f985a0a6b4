/**
 * Threads of this library, as code that runs in one can tell them. A handler's module that imports the server would make
 * a runtime in its thread, whose threads would do the same, without end.
 */
import { InsideThreadError } from '../words/errors.ts'

/** Where a thread says whose code is running: a symbol for all copies of this package that it may load. */
export const OWN_THREAD: unique symbol = Symbol.for('aftertask.thread') as never

/** What a thread can tell of the running code: `while the handler of "x" (/app/x.js) was imported`, for example. */
export type ThreadMark = () => string

/**
 * Refuses what belongs to the event loop's thread.
 *
 * @throws InsideThreadError in a thread of this library. `call` is what was called, such as `createRuntime`.
 */
export function refuseInThread(call: string): void {
  const mark: unknown = Reflect.get(globalThis, OWN_THREAD)
  if (typeof mark === 'function') throw new InsideThreadError(call, String((mark as ThreadMark)()))
}
