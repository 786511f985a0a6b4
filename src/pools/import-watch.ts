/**
 * Threads that hang while they import a handler: a module that loops for ever keeps its thread from hearing anything,
 * its own timers included. Such a thread is ended, and the next one leaves that handler out.
 */
import { type HandlerLocation, IMPORTING, type LaneTable } from '../rules/protocol.ts'
import type { Clock } from '../words/clock.ts'

/** Milliseconds that the import of a handler may take. */
export const IMPORT_TIMEOUT = 10_000

/** Watches the imports of a pool's threads. */
export class ImportWatch {
  readonly #clock: Clock
  readonly timeout: number
  readonly #handlers: (HandlerLocation | null)[]

  constructor(clock: Clock, handlers: readonly (HandlerLocation | null)[], timeout: number) {
    this.#clock = clock
    this.#handlers = [...handlers]
    this.timeout = timeout
  }

  /** The handlers that the next thread is to import. */
  get handlers(): readonly (HandlerLocation | null)[] {
    return this.#handlers
  }

  /** Looks after a thread that starts, until the answer is called. `hung` is to end it. */
  watch(table: LaneTable, hung: (error: Error) => void): () => void {
    // The thread itself gives up an import in this time, if its loop turns: what has not changed after more hangs.
    const interval = this.timeout * 1.5
    let before = 0
    let clear: () => void
    const look = (): void => {
      const now = Atomics.load(table.header, IMPORTING)
      if (now !== 0 && now === before) return hung(this.#leaveOut(now - 1))
      before = now
      clear = this.#clock.timer(interval, look)
    }
    clear = this.#clock.timer(interval, look)
    return () => clear()
  }

  #leaveOut(task: number): Error {
    const why = `it held its thread for more than ${this.timeout} ms while it was loading; does it loop for ever?`
    const handler = this.#handlers[task]
    if (handler) this.#handlers[task] = { ...handler, hangs: why }
    return new Error(`The module ${handler?.module} could not be loaded: ${why}`)
  }
}
