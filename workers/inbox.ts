/** The jobs that a thread was sent and has not taken up yet, as they came: slots, or slots with what the table cannot hold. */
import type { JobContext } from '../src/rules/job-record.ts'
import { RUN_WITH_STRIDE } from '../src/rules/protocol.ts'

/** Jobs in the order in which they came. Mostly it holds one message, which it reads where it is. */
export class Inbox {
  #entries: unknown[] = []
  /** The next job, and the one that was taken last. */
  #at = 0
  #taken = 0
  /** How many entries each job takes. */
  #stride = 1

  get isEmpty(): boolean {
    return this.#at >= this.#entries.length
  }

  /** Takes a message in: its kind, and then so many entries for each job. */
  add(message: unknown[], stride: number): void {
    if (this.isEmpty) {
      this.#entries = message
      this.#at = 1
      this.#stride = stride
      return
    }
    if (stride > this.#stride) this.#widen()
    const entries = this.#entries
    for (let at = 1; at < message.length; at++) {
      entries[entries.length] = message[at]
      for (let empty = stride; empty < this.#stride; empty++) entries[entries.length] = undefined
    }
  }

  /** Takes the next job and returns its slot. What else is known of it can be asked until the next one is taken. */
  take(): number {
    this.#taken = this.#at
    this.#at += this.#stride
    return this.#entries[this.#taken] as number
  }

  get payload(): unknown {
    return this.#more(1)
  }

  get context(): JobContext | undefined {
    return this.#more(2) as JobContext | undefined
  }

  /** The id, where another process has made it. */
  get id(): string | undefined {
    return this.#more(3) as string | undefined
  }

  /** Lets go of what was taken. */
  tidy(): void {
    if (!this.isEmpty || this.#entries.length === 0) return
    this.#entries = []
    this.#at = 0
  }

  #more(entry: number): unknown {
    return this.#stride === 1 ? undefined : this.#entries[this.#taken + entry]
  }

  /** Gives jobs that are slots alone the room of those that are more. */
  #widen(): void {
    const slots = this.#entries
    const entries: unknown[] = []
    for (let at = this.#at; at < slots.length; at++) {
      entries[entries.length] = slots[at]
      for (let empty = 1; empty < RUN_WITH_STRIDE; empty++) entries[entries.length] = undefined
    }
    this.#entries = entries
    this.#at = 0
    this.#stride = RUN_WITH_STRIDE
  }
}
