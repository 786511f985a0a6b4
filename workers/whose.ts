/** Whose code runs: the attempt or the module it belongs to, whatever it awaits. Tells whose fault an escaped error is. */
import { AsyncLocalStorage } from 'node:async_hooks'
import * as pristine from './pristine.ts'

/** An attempt, as far as blame goes. */
export interface RunningAttempt {
  readonly id: string
  readonly name: string
  readonly slot: number
  /** True once its outcome is told: what the handler does from then on has no effect. */
  readonly isOver: boolean
  /** Takes what it prints; true when that is not to be printed as well. */
  printed(from: 'stdout' | 'stderr', text: string): boolean
}

/** A handler's module that is imported here, and whatever it sets going of its own accord. */
export class ImportedModule {
  /** The URL of its file. */
  readonly url: string
  /** The module, as it is shown to people. */
  readonly shown: string
  /** The tasks whose handlers it holds. */
  readonly tasks: string[] = []
  /** True until its import has ended, and what it threw right afterwards has been heard. */
  isLoading = true
  readonly #escaped = pristine.withResolvers<never>()
  #error: { readonly thrown: unknown } | undefined

  constructor(url: string, shown: string) {
    this.url = url
    this.shown = shown
    pristine.hush(this.#escaped.promise)
  }

  /** Rejects when an error escapes while the module is loading. */
  get escaped(): Promise<never> {
    return this.#escaped.promise
  }

  /** The first error that escaped it while it was loading. */
  get error(): { readonly thrown: unknown } | undefined {
    return this.#error
  }

  /** An error escaped it: thrown from a timer, an event, or a promise that nobody awaits. */
  fail(thrown: unknown): void {
    this.#error ??= { thrown }
    this.#escaped.reject(thrown)
  }
}

/** The owner of the running code; undefined when nothing tells. */
export const whose = new AsyncLocalStorage<RunningAttempt | ImportedModule | undefined>()

/** The attempt that the running code belongs to. */
export function runningAttempt(): RunningAttempt | undefined {
  const owner = whose.getStore()
  return owner instanceof ImportedModule ? undefined : owner
}

/** The module whose own doing the running code is. */
export function runningModule(): ImportedModule | undefined {
  const owner = whose.getStore()
  return owner instanceof ImportedModule ? owner : undefined
}
