/** What is to be written: operations gather during a turn, go out in one message, and are kept until they are written. */

import type { JobRecord } from '../../rules/job-record.ts'
import { addsIn, OP, TO_JOURNAL, withoutAdds } from '../../rules/journal-protocol.ts'
import { Passed } from '../../rules/passed.ts'
import { Ring } from '../structures/ring.ts'
import type { JournalClock } from './journal-clock.ts'

/** One message, and whom its writing matters to. */
export interface Outgoing {
  readonly number: number
  readonly wall: number
  ops: unknown[]
  /** Jobs that it adds, and held ones that it releases. */
  arrivals: JobRecord[]
  readonly releases: JobRecord[]
  /** Jobs that it ends. */
  readonly endings: JobRecord[]
  /** It was sent to a journal before, which died: what it says may have been written then. */
  isRepeated: boolean
  /** Who waits for dead jobs that it lets start over. */
  readonly revivals: PromiseWithResolvers<void>[]
  /** Suspect jobs that may start once it is on record that they do. */
  readonly marks: JobRecord[]
}

/** Messages that may be on their way at a time; the next ones gather, and the journal writes them together. */
const MOST_ON_THE_WAY = 4

/** SQLite has no such value, so whatever it stands in is refused. */
const UNFIT = {}

/** Gathers, sends, and keeps what has not been written. */
export class Outbox {
  readonly passed = new Passed()
  readonly #clock: JournalClock
  readonly #post: (message: readonly unknown[]) => void
  readonly #unwritten = new Ring<Outgoing>()
  #next: Outgoing
  #number = 0
  #isSet = false
  #isOpen = false

  constructor(clock: JournalClock, post: (message: readonly unknown[]) => void) {
    this.#clock = clock
    this.#post = post
    this.#next = this.#begin()
  }

  /** The message that is being put together. Whoever adds to it has it sent. */
  get next(): Outgoing {
    if (!this.#isSet) {
      this.#isSet = true
      this.#clock.soon(() => {
        this.#isSet = false
        this.flush()
      })
    }
    return this.#next
  }

  /** True when nothing waits to be written. */
  get isEmpty(): boolean {
    return this.#unwritten.length === 0 && this.#next.ops.length === 0
  }

  /** Sends what has gathered, unless much is on its way already. */
  flush(isLast = false): void {
    const ahead = this.#isOpen && (isLast || this.#next.ops.length > 0) ? this.#clock.step() : undefined
    if (ahead !== undefined) this.#next.ops.push(OP.ahead, ahead)
    const isBusy = !isLast && this.#unwritten.length >= MOST_ON_THE_WAY
    if (this.#next.ops.length === 0 || !this.#isOpen || isBusy) return
    const batch = { ...this.#next, number: ++this.#number, wall: this.#clock.wall() }
    this.#next = this.#begin()
    this.#unwritten.push(batch)
    this.#send(batch)
  }

  /** The journal is open: sends what has gathered, and again what was never said to be written. */
  opened(): void {
    this.#isOpen = true
    for (const batch of this.#unwritten) {
      batch.isRepeated = true
      this.#send(batch)
    }
    this.flush()
  }

  /** The journal is gone; what has gathered waits for the next one. */
  closed(): void {
    this.#isOpen = false
  }

  /** Takes the messages up to a number off, oldest first. */
  *written(upTo: number): Iterable<Outgoing> {
    for (
      let batch = this.#unwritten.peek();
      batch !== undefined && batch.number <= upTo;
      batch = this.#unwritten.peek()
    ) {
      this.#unwritten.shift()
      yield batch
    }
  }

  /**
   * The jobs that messages up to a number add: they are refused, and never sent again. Those that are `there` from the first
   * time that such a message was sent are no more to be added either.
   */
  *refused(upTo: number, there: ReadonlySet<number>): Iterable<JobRecord> {
    for (const batch of this.#unwritten) {
      if (batch.number > upTo) return
      const { arrivals, ops } = batch
      batch.arrivals = []
      batch.ops = withoutAdds(ops)
      this.passOver(ops, (seq) => !there.has(seq))
      yield* arrivals
    }
  }

  /** Some of the jobs that operations add are refused: a journal that starts anew is told whom they would have waited for. */
  passOver(ops: readonly unknown[], isRefused: (seq: number) => boolean): void {
    for (const [seq, after] of addsIn(ops)) if (after !== null && isRefused(seq)) this.passed.add(seq, after)
  }

  /** Everything that was never written, when it will not be. */
  *abandoned(): Iterable<Outgoing> {
    for (let batch = this.#unwritten.shift(); batch !== undefined; batch = this.#unwritten.shift())
      yield batch
    const last = this.#next
    this.#next = this.#begin()
    yield last
  }

  /** What cannot be copied to another thread is left to the journal to refuse: all else is written. */
  #send({ number, wall, ops, isRepeated }: Outgoing): void {
    for (;;) {
      try {
        return this.#post([TO_JOURNAL.batch, number, wall, ops, isRepeated])
      } catch (error) {
        if (!spoil(ops)) throw error
      }
    }
  }

  #begin(): Outgoing {
    return {
      number: 0,
      wall: 0,
      isRepeated: false,
      ops: [],
      arrivals: [],
      releases: [],
      endings: [],
      marks: [],
      revivals: [],
    }
  }
}

/** Puts what no column takes where something cannot be copied, or is the largest; false when nothing is left of that. */
function spoil(ops: unknown[]): boolean {
  let largest = -1
  let size = 0
  let isSpoilt = false
  for (const [at, value] of ops.entries()) {
    if (!canBeCopied(value)) {
      ops[at] = UNFIT
      isSpoilt = true
    } else if (sizeOf(value) > size) {
      largest = at
      size = sizeOf(value)
    }
  }
  if (!isSpoilt && largest !== -1) ops[largest] = UNFIT
  return isSpoilt || largest !== -1
}

function canBeCopied(value: unknown): boolean {
  if (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') return true
  if (value === null || value instanceof Uint8Array) return true
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  return value instanceof Uint8Array ? value.byteLength : 0
}
