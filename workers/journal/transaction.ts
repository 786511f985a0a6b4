/** One transaction: the moment it is made at, what it tells the event loop, and how many jobs are in each state. */
import { DEAD, type Reply } from '../../src/rules/journal-protocol.ts'

/** What the parts of the journal share while a transaction is made. `now` and `reply` are set for each. */
export class Transaction {
  now = 0
  reply!: Reply
  /** What is carried out was said to a thread that died, and may be written. */
  isRepeated = false
  /** The run of this process. */
  run = 0
  /** How many jobs are in each state. */
  counts: number[] = new Array(10).fill(0)
  /** How many finished jobs are on each shelf that is a task's own. */
  shelves = new Map<number, number>()
  /** Jobs whose rows go out with the reply: granted ones whose record may not be at hand. */
  readonly toSend: number[] = []
  /** Jobs that ended in the journal itself. */
  readonly toTell: number[] = []
  /** Jobs that have waited too long for their first attempt. */
  readonly toExpire: number[] = []
  /** True when the next due time may have changed. */
  isDueDirty = true
  #saved: readonly number[] = []
  #savedShelves: ReadonlyMap<number, number> = new Map()

  begin(now: number, reply: Reply): void {
    this.now = now
    this.reply = reply
    this.#saved = [...this.counts]
    this.#savedShelves = new Map(this.shelves)
  }

  /** The transaction was rolled back: it changed nothing and tells nothing. */
  undo(): void {
    this.counts = [...this.#saved]
    this.shelves = new Map(this.#savedShelves)
    this.told()
    this.isDueDirty = true
  }

  /** Where the transaction stands; the call takes back what was done since. */
  mark(): () => void {
    const { reply, toSend, toTell, toExpire, isDueDirty } = this
    const lists = [toSend, toTell, toExpire, reply.granted, reply.moved, reply.refused, reply.cancels]
    const lengths = lists.map((list) => list.length)
    const counts = [...this.counts]
    const shelves = new Map(this.shelves)
    return () => {
      lists.forEach((list, index) => {
        list.length = lengths[index] as number
      })
      this.counts = counts
      this.shelves = shelves
      this.isDueDirty = isDueDirty
    }
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

  /** So many jobs have come onto a shelf, or (less than 0) left it. Dead ones are on none. */
  shelve(shelf: number, state: number, jobs = 1): void {
    if (shelf !== 0 && state !== DEAD) this.shelves.set(shelf, (this.shelves.get(shelf) ?? 0) + jobs)
  }

  /** A job has gone from one state to another. */
  count(from: number, to: number): void {
    this.counts[from] = (this.counts[from] ?? 0) - 1
    this.countIn(to)
  }
}
