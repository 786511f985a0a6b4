/** Promises that a stop waits for: work on the event loop that has a request or a server to thank for it, and no task. */
import { isRecord, refusal } from '../rules/arguments.ts'
import { waitUntilOptionsSchema } from '../rules/filter-schemas.ts'
import { readOptions } from '../rules/options.ts'
import { RuntimeStoppedError } from '../words/errors.ts'
import { isThenable } from '../words/thenables.ts'
import type { Announcer } from './announcer.ts'

/** What `waitUntil` takes besides the promise. */
export interface WaitUntilOptions {
  /** What events and the stop report call the promise. Default: `unnamed`. */
  name?: string
}

/** What the promises of a runtime are told to, and asked of. */
export interface AwaitedPromisesParts {
  readonly announcer: Announcer
  /** True until the runtime has stopped. */
  readonly isOpen: () => boolean
  /** A promise has settled. */
  readonly settled: () => void
}

/** The promises given to `waitUntil` that have not settled. */
export class AwaitedPromises {
  readonly #parts: AwaitedPromisesParts
  readonly #names = new Map<object, string>()

  constructor(parts: AwaitedPromisesParts) {
    this.#parts = parts
  }

  /** How many have not settled. */
  get size(): number {
    return this.#names.size
  }

  /** The names of those that have not settled, in the order given. */
  get names(): readonly string[] {
    return [...this.#names.values()]
  }

  /**
   * Waits for a promise at the stop. A rejection is an event.
   *
   * @throws OptionsInvalidError when the promise is none; RuntimeStoppedError when nobody would wait any more.
   */
  add(promise: unknown, options: WaitUntilOptions = {}): void {
    const call = 'waitUntil'
    if (typeof promise === 'function')
      throw refusal(call, 'the promise', promise, 'a promise', 'Call the function: waitUntil(work()).')
    if (!isThenable(promise)) throw refusal(call, 'the promise', promise, 'a promise')
    // Asked for `then` once: some work begins with that. Heard in any case: a promise that is refused must not end the process.
    const work = new Promise<unknown>((resolve) => resolve(promise))
    work.catch(() => {})
    if (!isRecord(options)) throw refusal(call, 'the options', options, 'an object such as { name }')
    const { name } = readOptions(waitUntilOptionsSchema, options, call)
    const { announcer, isOpen, settled } = this.#parts
    if (!isOpen()) throw new RuntimeStoppedError('stopped')
    const token = {}
    const over = (): void => {
      if (this.#names.delete(token)) settled()
    }
    this.#names.set(token, name)
    work.then(over, (error: unknown) => {
      announcer.promiseRejected(name, error)
      over()
    })
  }
}
