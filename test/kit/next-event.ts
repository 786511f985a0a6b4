/** Waiting for an event, in tests and in the scripts beside them. */
import type { EventName, Runtime, RuntimeEvents } from '../../src/index.ts'

/** The next event of a name, or the next one that fits. */
export function nextEvent<Name extends EventName>(
  runtime: Pick<Runtime, 'on' | 'off'>,
  name: Name,
  fits: (event: RuntimeEvents[Name]) => boolean = () => true,
): Promise<RuntimeEvents[Name]> {
  const { promise, resolve } = Promise.withResolvers<RuntimeEvents[Name]>()
  const listener = (event: RuntimeEvents[Name]): void => {
    if (!fits(event)) return
    runtime.off(name, listener)
    resolve(event)
  }
  runtime.on(name, listener)
  return promise
}
