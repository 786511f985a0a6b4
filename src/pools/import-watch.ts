/**
 * Threads that come to grief while they import a handler: a module that loops for ever keeps its thread from hearing
 * anything, its own timers included; one that breaks the language's own objects, or runs out of memory, takes its thread
 * along. The next thread leaves that handler out, so that its own task fails and the pool goes on.
 */
import { type HandlerLocation, IMPORTING, type LaneTable } from '../rules/protocol.ts'
import type { Clock } from '../words/clock.ts'

/** Milliseconds that the import of a handler may take. */
export const IMPORT_TIMEOUT = 10_000

/** Deaths of threads that import the same handler, after which it is left out: one may have had reasons of its own. */
const PATIENCE = 2

/** Watches the imports of a pool's threads. */
export class ImportWatch {
  readonly #clock: Clock
  readonly timeout: number
  readonly #all: readonly (HandlerLocation | null)[]
  #handlers: (HandlerLocation | null)[]
  /** Threads that died over the import of a handler, by its task's number. */
  readonly #deaths = new Map<number, number>()

  constructor(clock: Clock, handlers: readonly (HandlerLocation | null)[], timeout: number) {
    this.#clock = clock
    this.#all = handlers
    this.#handlers = [...handlers]
    this.timeout = timeout
  }

  /** The handlers that the next thread is to import. */
  get handlers(): readonly (HandlerLocation | null)[] {
    return this.#handlers
  }

  /** Their files have changed: none is left out any more. */
  forgive(): void {
    this.#handlers = [...this.#all]
    this.#deaths.clear()
  }

  /** Looks after a thread that starts, until the answer is called. `hung` is to end it. */
  watch(table: LaneTable, hung: (error: Error) => void): () => void {
    // The thread itself gives up an import in this time, if its loop turns: what has not changed after more hangs.
    const interval = this.timeout * 1.5
    const why = `it held its thread for more than ${this.timeout} ms while it was loading; does it loop for ever?`
    let before = 0
    let clear: () => void
    const look = (): void => {
      const now = Atomics.load(table.header, IMPORTING)
      if (now > 0 && now === before) {
        this.#leaveOut(now - 1, why)
        return hung(new Error(`The module ${this.#handlers[now - 1]?.module} could not be loaded: ${why}`))
      }
      before = now
      clear = this.#clock.timer(interval, look)
    }
    clear = this.#clock.timer(interval, look)
    return () => clear()
  }

  /** A thread has ended before it was up. True when the import of a handler is to blame, which is left out if that goes on. */
  isToBlame(table: LaneTable, what: string): boolean {
    const word = Atomics.load(table.header, IMPORTING)
    if (word === 0) return false
    const task = Math.abs(word) - 1
    if (word < 0) this.#leaveOut(task, table.results.toString('utf8', 0, table.resultLength[0]))
    const deaths = (this.#deaths.get(task) ?? 0) + 1
    this.#deaths.set(task, deaths)
    if (deaths >= PATIENCE) this.#leaveOut(task, `its thread ended while it was loading: ${what}`)
    return true
  }

  /** The first reason counts: threads that had begun before come to the same end. */
  #leaveOut(task: number, why: string): void {
    const handler = this.#handlers[task]
    if (handler && handler.leftOut === undefined) this.#handlers[task] = { ...handler, leftOut: why }
  }
}
