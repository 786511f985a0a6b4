/** One transaction: the moment it is made at, what it tells the event loop, and how many jobs are in each state. */
import type { Reply } from '../../src/rules/journal-protocol.ts'

/** What the parts of the journal share while a transaction is made. `now` and `reply` are set for each. */
export class Turn {
  now = 0
  reply!: Reply
  /** The run of this process. */
  run = 0
  /** How many jobs are in each state. */
  counts: number[] = new Array(10).fill(0)
  /** Jobs whose rows go out with the reply: granted ones whose record may not be at hand. */
  readonly toSend: number[] = []
  /** Jobs that ended in the journal itself. */
  readonly toTell: number[] = []
  /** Jobs that have waited too long for their first attempt. */
  readonly toExpire: number[] = []
  /** True when the next due time may have changed. */
  isDueDirty = true
  #saved: readonly number[] = []

  begin(now: number, reply: Reply): void {
    this.now = now
    this.reply = reply
    this.#saved = [...this.counts]
  }

  /** The transaction was rolled back: it changed nothing and tells nothing. */
  undo(): void {
    this.counts = [...this.#saved]
    this.told()
    this.isDueDirty = true
  }

  /** What was to be told is in the reply. */
  told(): void {
    this.toSend.length = 0
    this.toTell.length = 0
    this.toExpire.length = 0
  }

  /** A job has come in. */
  countIn(state: number): void {
    this.counts[state] = (this.counts[state] ?? 0) + 1
  }

  /** A job has gone from one state to another. */
  count(from: number, to: number): void {
    this.counts[from] = (this.counts[from] ?? 0) - 1
    this.countIn(to)
  }
}
