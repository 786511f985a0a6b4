/** A journal whose answers can be held up on their way, as by a busy machine, and whose replies can be lost. */
import { type LinkHost, ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import { FROM_JOURNAL, type JournalSetup } from '../../../src/rules/journal-protocol.ts'

/** Passes everything on, but answers while its gate is shut, and replies while they are lost. */
export class GatedLink extends ThreadLink {
  #isShut = false
  #isLosing = false
  readonly #held: (() => void)[] = []
  readonly #heard: (() => void)[] = []

  override start(setup: JournalSetup, host: LinkHost): void {
    this.#isLosing = false
    super.start(setup, {
      receive: (message) => {
        if (this.#isLosing && message[0] === FROM_JOURNAL.committed) return
        if (this.#isShut && message[0] === FROM_JOURNAL.answer) this.#held.push(() => host.receive(message))
        else host.receive(message)
        if (message[0] !== FROM_JOURNAL.answer) for (const heard of this.#heard.splice(0)) heard()
      },
      ended: (error) => host.ended(error),
    })
  }

  /** Replies are lost from now on, until the thread is started again. */
  loseReplies(): void {
    this.#isLosing = true
  }

  /** Answers wait from now on. */
  shut(): void {
    this.#isShut = true
  }

  /** What has waited arrives. */
  open(): void {
    this.#isShut = false
    for (const arrive of this.#held.splice(0)) arrive()
  }

  /** Resolves when the journal has said something else than an answer. */
  said(): Promise<void> {
    return new Promise((resolve) => this.#heard.push(resolve))
  }
}
