/** A journal whose answers or replies can be held up on their way, as by a busy machine, and whose replies can be lost. */
import { type LinkHost, ThreadLink } from '../../../src/brokers/sqlite/link.ts'
import { FROM_JOURNAL, type JournalSetup, type Reply } from '../../../src/rules/journal-protocol.ts'

/** Passes everything on, but what its gate is shut to, and replies while they are lost. */
export class GatedLink extends ThreadLink {
  #shut: number | undefined
  #isLosing = false
  #isWary = false
  readonly #held: (() => void)[] = []
  readonly #heard: (() => void)[] = []

  override start(setup: JournalSetup, host: LinkHost): void {
    this.#isLosing = false
    super.start(setup, {
      receive: (message) => {
        if (this.#isLosing && message[0] === FROM_JOURNAL.committed) return
        if (this.#isWary && tellsOfExpiry(message)) this.#shut = FROM_JOURNAL.committed
        if (message[0] === this.#shut) this.#held.push(() => host.receive(message))
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

  /** Answers, or messages of another kind, wait from now on. */
  shut(kind: number = FROM_JOURNAL.answer): void {
    this.#shut = kind
  }

  /** Replies wait from the first one on that says that the time of a job is over: however late that comes, or how soon. */
  shutAtExpiry(): void {
    this.#isWary = true
  }

  /** What has waited arrives. */
  open(): void {
    this.#shut = undefined
    this.#isWary = false
    for (const arrive of this.#held.splice(0)) arrive()
  }

  /** Resolves when the journal has said something else than an answer. */
  said(): Promise<void> {
    return new Promise((resolve) => this.#heard.push(resolve))
  }
}

function tellsOfExpiry([kind, reply]: readonly unknown[]): boolean {
  return kind === FROM_JOURNAL.committed && (reply as Reply).expired.length > 0
}
