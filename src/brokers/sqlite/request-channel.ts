/** Questions to the journal and their answers. */
import { type JournalFault, type Questions, TO_JOURNAL } from '../../rules/journal-protocol.ts'
import { errorOfFault } from './faults.ts'

/** Asks, and hands answers to whoever asked. */
export class RequestChannel {
  readonly #post: (message: readonly unknown[]) => void
  readonly #open = new Map<number, PromiseWithResolvers<never>>()
  #unsent: (() => void)[] = []
  #isOpen = false
  #count = 0

  constructor(post: (message: readonly unknown[]) => void) {
    this.#post = post
  }

  get isIdle(): boolean {
    return this.#open.size === 0
  }

  ask<Q extends keyof Questions>(
    question: Q,
    argument: Questions[Q]['ask'],
  ): Promise<Questions[Q]['answer']> {
    const number = ++this.#count
    const asked = Promise.withResolvers<never>()
    this.#open.set(number, asked)
    const send = (): void => {
      try {
        this.#post([TO_JOURNAL.ask, number, question, argument])
      } catch (error) {
        this.#open.delete(number)
        asked.reject(error)
      }
    }
    if (this.#isOpen) send()
    else this.#unsent.push(send)
    return asked.promise
  }

  /** The journal is open: what was asked before is asked now. */
  opened(): void {
    this.#isOpen = true
    for (const send of this.#unsent.splice(0)) send()
  }

  answered(message: readonly unknown[]): void {
    const [, number, fault, answer] = message as [number, number, JournalFault | null, never]
    const asked = this.#open.get(number)
    this.#open.delete(number)
    if (fault === null) asked?.resolve(answer)
    else asked?.reject(errorOfFault(fault))
  }

  /** The journal is gone: nothing that was asked will be answered. */
  failAll(error: Error): void {
    this.#isOpen = false
    this.#unsent = []
    for (const asked of this.#open.values()) asked.reject(error)
    this.#open.clear()
  }
}
