/**
 * Errors that escape a handler: thrown from a timer, an event or a promise that nobody awaits. The context in which
 * they were thrown tells whose they are, so each is charged to its own job and to no other, also when that job is
 * already over. The thread is replaced afterwards: Node calls the state after an uncaught exception undefined.
 *
 * They are heard where Node reports them, in `process.emit`, before any listener. So it makes no difference what a
 * module does with the events: adds listeners that throw or end the process, removes all listeners, or puts an `emit` of
 * its own there. Its listeners run afterwards, and what they throw ends nothing.
 */
import { FROM_THREAD } from '../src/rules/protocol.ts'
import { toWireError } from '../src/rules/wire-error.ts'
import * as pristine from './pristine.ts'
import { ImportedModule, type RunningAttempt, runningModule, whose } from './whose.ts'

/** Whom an escaped error is told to: the runner of the thread. */
export interface EscapeHost<Attempt extends RunningAttempt> {
  /** The attempt that runs when there is only one: whose fault it must be when the context is lost. */
  readonly only: Attempt | undefined
  /** The thread's state cannot be trusted any more. */
  retire(attempt: Attempt | undefined): void
  fail(attempt: Attempt, error: unknown): void
  post(message: readonly unknown[]): void
}

type Emit = typeof process.emit
// Taken now: what throws while Node ends a thread for an error ends the whole process.
const { apply } = Reflect

/** The net under everything that runs in this thread. */
export class EscapedErrors<Attempt extends RunningAttempt> {
  #host: EscapeHost<Attempt> | undefined
  /** The error that was taken last, and whose it was: Node reports some errors twice. */
  #last: { readonly error: unknown; readonly owner: unknown } | undefined
  /** True while listeners of a module hear of an error. */
  #isTelling = false

  /** Spreads the net. Errors of modules that are being imported are theirs; all others end the thread until `attach`. */
  constructor() {
    this.#standBeforeEmit()
    this.#standBeforeExit()
    // Where Node itself cannot end the thread, since a module has replaced `process.exit`, it would end the process.
    const { _fatalException: fatal } = process as unknown as {
      _fatalException: (...args: unknown[]) => boolean
    }
    Object.assign(process, {
      _fatalException: (error: unknown, fromPromise: unknown): boolean => {
        try {
          return fatal(error, fromPromise)
        } catch {
          return pristine.endThread()
        }
      },
    })
  }

  /** From now on jobs run. */
  attach(host: EscapeHost<Attempt>): void {
    this.#host = host
  }

  /** Takes an error to whomever it belongs. False when there is nobody yet. */
  #take(error: unknown): boolean {
    const owner = whose.getStore()
    if (this.#last !== undefined && this.#last.error === error && this.#last.owner === owner) return true
    if (owner instanceof ImportedModule && owner.isLoading) {
      owner.fail(error)
    } else {
      const host = this.#host
      if (host === undefined) return false
      const attempt = this.#attemptAtFault()
      host.retire(attempt)
      if (attempt !== undefined && !attempt.isOver) host.fail(attempt, error)
      else host.post([FROM_THREAD.stray, attempt?.id ?? '', toWireError(error), runningModule()?.tasks ?? []])
    }
    this.#last = { error, owner }
    return true
  }

  // Where the context was lost and only one job runs, it must be that one's.
  #attemptAtFault(): Attempt | undefined {
    const owner = whose.getStore()
    if (owner === undefined) return this.#host?.only
    return owner instanceof ImportedModule ? undefined : (owner as Attempt)
  }

  /**
   * Whoever reads `process.emit` gets the function that leads to what is there, with the net before it; whoever sets it
   * adds a layer of his own. Layers that call the one before them, as is the custom, still find it.
   */
  #standBeforeEmit(): void {
    const layers: Emit[] = [process.emit]
    const entries: Emit[] = []
    const entryTo = (layer: number): Emit => {
      const enter = (event: string, ...args: unknown[]): boolean =>
        this.#heard(event, args[0], () =>
          apply(layers[layer] as (...all: unknown[]) => boolean, process, [event, ...args]),
        )
      entries[layer] ??= enter as unknown as Emit
      return entries[layer]
    }
    Object.defineProperty(process, 'emit', {
      get: () => entryTo(layers.length - 1),
      set: (emit: Emit) => {
        if (emit !== entries[layers.length - 1]) layers.push(emit)
      },
      enumerable: true,
    })
  }

  #heard(event: string, error: unknown, passOn: () => boolean): boolean {
    if (event === 'exit') this.#tellExit()
    const isEscape =
      event === 'uncaughtException' || event === 'unhandledRejection' || event === 'uncaughtExceptionMonitor'
    if (!isEscape || this.#isTelling || !this.#take(error)) return passOn()
    this.#isTelling = true
    try {
      passOn()
    } catch {
      // A listener that throws, most often the very error: it has been told, and must not end what else runs here.
    } finally {
      this.#isTelling = false
    }
    return true
  }

  /** Tells who called it before the thread is gone; with many jobs on one thread nothing else could. */
  #standBeforeExit(): void {
    const { exit, reallyExit } = process as typeof process & { reallyExit(code?: number): never }
    process.exit = ((code?: number) => {
      this.#refuseExit(code)
      return apply(exit, process, [code])
    }) as typeof process.exit
    // What `process.exit` ends with, and what those call who want no listener to hear of it.
    Object.assign(process, {
      reallyExit: (code?: number) => {
        this.#refuseExit(code)
        this.#tellExit()
        return apply(reallyExit, process, [code])
      },
    })
    const { setUncaughtExceptionCaptureCallback } = process
    process.setUncaughtExceptionCaptureCallback = (capture) => {
      if (typeof capture !== 'function') return setUncaughtExceptionCaptureCallback(capture)
      setUncaughtExceptionCaptureCallback((error) => {
        try {
          capture(error)
        } catch {
          // As above: the error has been told.
        }
      })
    }
  }

  #refuseExit(code: number | undefined): void {
    // Node's own end of a thread, once it is on its way.
    if ((process as { _exiting?: boolean })._exiting === true) return
    const owner = whose.getStore()
    const call = `process.exit(${code ?? ''})`
    if (owner instanceof ImportedModule && owner.isLoading) {
      throw new Error(`it called ${call} while it was loading`)
    }
    // Whoever runs here now must not pay for it.
    if (owner instanceof ImportedModule || owner?.isOver || this.#isTelling) {
      throw new Error(`${call} was called by what a handler or its module had left behind.`)
    }
  }

  #tellExit(): void {
    const attempt = this.#attemptAtFault()
    if (attempt !== undefined && !attempt.isOver) this.#host?.post([FROM_THREAD.exiting, attempt.slot])
  }
}
