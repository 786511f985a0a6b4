/** A crossing at which handlers of any thread stop (`iso-channel`), until the test lets them go. */
import { onTestFinished } from 'vitest'
import { isoTask } from './threads.ts'

/** Stops at the crossing whose name is in its payload. */
export const waitForGo = isoTask('channel', 'waitForGo')

export class Crossing {
  readonly channel = `iso-crossing-${crypto.randomUUID()}`
  readonly #channel = new BroadcastChannel(this.channel)
  readonly #waiting = new Set<{ count: number; resolve: () => void }>()
  #here = 0
  #isOpen = false

  constructor() {
    this.#channel.onmessage = () => this.#arrived()
    onTestFinished(() => this.#channel.close())
  }

  /** The payload of a job that is to stop here. */
  get payload(): { channel: string } {
    return { channel: this.channel }
  }

  /** Resolves once so many have come. */
  async reached(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#here >= count) return
    this.#waiting.add({ count, resolve })
    await promise
  }

  /** Lets go whoever is here, and whoever still comes. */
  open(): void {
    this.#isOpen = true
    this.#channel.postMessage('go')
  }

  #arrived(): void {
    this.#here++
    for (const { count, resolve } of this.#waiting) if (this.#here >= count) resolve()
    if (this.#isOpen) this.#channel.postMessage('go')
  }
}
