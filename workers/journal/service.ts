/**
 * What a journal does with messages, whatever brings them. All that has arrived while one transaction was written is the
 * next one (group commit): under load a commit serves hundreds of jobs, and a lone job waits for nothing. What the disk
 * refuses is tried again, ever more slowly.
 */
import {
  FROM_JOURNAL,
  type JournalFault,
  type Questions,
  TO_JOURNAL,
} from '../../src/rules/journal-protocol.ts'
import { isTaken, type Journal } from './journal.ts'
import type { JournalError } from './journal-error.ts'
import type { Batch } from './operations.ts'

// Enough for any burst to pay for its fsync, little enough that no acknowledgement waits long for its neighbours.
const MOST_ENTRIES = 400_000
const LOOK_EVERY = 50
/** Milliseconds between looks whether the file is where it was. */
export const WATCH_EVERY = 1000
const IDLE_STEP = 20
/** Milliseconds between looks whether there is little to do, and how many writes between two of them are little. */
const QUIET_LOOK = 500
const QUIET_WRITES = 25
/** Milliseconds between looks whether who read in the log is gone. */
const READERS_LOOK = 5000
const FIRST_RETRY = 100
const LAST_RETRY = 5000

/** One message, in either direction. */
export type Message = readonly unknown[]

/** Where a journal is served: a thread, or a simulation of one. */
export interface Surroundings {
  /** Says something to the event loop's side. */
  post(message: Message): void
  /** The next message that has arrived already. */
  next(): Message | undefined
  /** Calls back once; returns the call that takes it back. */
  timer(milliseconds: number, callback: () => void): () => void
  wall(): number
  /** No message will be taken any more. */
  ended(): void
  /** The file was let go of, and is to be opened anew: the event loop's side hears that the thread is gone. */
  died(why: Error): void
}

/** Takes messages, writes them, answers. */
export class JournalService {
  readonly #journal: Journal
  readonly #around: Surroundings
  #retryIn = FIRST_RETRY
  #clearRetry: (() => void) | undefined
  #clearIdle: (() => void) | undefined
  #clearLook: (() => void) | undefined
  #clearQuiet: (() => void) | undefined
  #clearWatch: (() => void) | undefined
  /** True when the last write has failed. */
  #isFaulty = false
  /** The file was let go of: messages may still come, and nothing more can be written. */
  #isOver = false
  /** What the event loop's side was told is wrong with the file itself. */
  #told: JournalFault['kind'] | undefined
  #writes = 0

  constructor(journal: Journal, around: Surroundings, isShared: boolean) {
    this.#journal = journal
    this.#around = around
    if (isShared) this.#lookLater()
    this.#watchLater()
    this.#quietLater(QUIET_LOOK)
  }

  /** Takes a message and all that wait behind it, up to a question or a full transaction. */
  take(first: Message): void {
    if (this.#isOver) return
    this.#unlessTaken(() => this.#take(first))
  }

  #take(first: Message): void {
    const batches: Batch[] = []
    let asked: Message | undefined
    let entries = 0
    for (let message: Message | undefined = first; message !== undefined; message = this.#around.next()) {
      if (message[0] !== TO_JOURNAL.batch) {
        asked = message
        break
      }
      const [, number, wall, ops, isRepeated] = message as [number, number, number, unknown[], boolean]
      batches.push({ number, wall, ops, isRepeated })
      entries += ops.length
      if (entries > MOST_ENTRIES) break
    }
    if (batches.length > 0) this.#write(batches)
    if (asked !== undefined) this.#answer(asked)
  }

  #write(batches: readonly Batch[]): void {
    const reply = this.#journal.write(batches)
    this.#isFaulty = reply.fault !== undefined
    if (!this.#isFaulty) this.#told = undefined
    this.#around.post([FROM_JOURNAL.committed, reply])
    this.#writes++
    this.#quietLater(QUIET_LOOK)
    if (this.#journal.isBehind) this.#catchUp()
    if (reply.isStuck !== true) {
      this.#retryIn = FIRST_RETRY
      this.#clearRetry?.()
      this.#clearRetry = undefined
    } else if (this.#clearRetry === undefined) {
      this.#clearRetry = this.#around.timer(this.#retryIn, () => {
        this.#clearRetry = undefined
        this.#unlessTaken(() => this.#write([]))
      })
      this.#retryIn = Math.min(this.#retryIn * 2, LAST_RETRY)
    }
  }

  /** When the burst is over, the finished jobs that it has left are let go of, a step at a time. */
  #catchUp(): void {
    this.#clearIdle ??= this.#around.timer(IDLE_STEP, () => {
      this.#clearIdle = undefined
      if (this.#journal.isBehind) this.#unlessTaken(() => this.#write([]))
    })
  }

  /** While there is little to do the file becomes smaller, a step at a time; once there is nothing, the log is emptied. */
  #quietLater(milliseconds: number): void {
    this.#clearQuiet ??= this.#around.timer(milliseconds, () => {
      this.#clearQuiet = undefined
      const writes = this.#writes
      this.#writes = 0
      const isMore = writes <= QUIET_WRITES && this.#journal.giveBack()
      if (isMore && writes === 0) this.#quietLater(IDLE_STEP)
      else if (isMore || writes > 0) this.#quietLater(QUIET_LOOK)
      else if (!this.#journal.rest()) this.#quietLater(READERS_LOOK)
    })
  }

  #answer(message: Message): void {
    if (message[0] === TO_JOURNAL.close) return this.#close(message[1] as number)
    const [, number, question, argument] = message as [number, number, keyof Questions, never]
    try {
      const answer = this.#journal.ask(question, argument)
      this.#around.post([FROM_JOURNAL.answer, number, null, answer])
    } catch (error) {
      this.#around.post([FROM_JOURNAL.answer, number, this.#journal.faultOf(error), null])
    }
  }

  #lookLater(): void {
    this.#clearLook = this.#around.timer(LOOK_EVERY, () => {
      const reply = this.#journal.look(this.#around.wall())
      if (reply !== null) this.#around.post([FROM_JOURNAL.committed, reply])
      this.#lookLater()
    })
  }

  /** Also where nothing is written: a file that has lost its name is told of within a second. */
  #watchLater(): void {
    this.#clearWatch = this.#around.timer(WATCH_EVERY, () => {
      this.#unlessTaken(() => this.#watch())
    })
  }

  #watch(): void {
    const found = this.#journal.watch(this.#around.wall(), this.#isFaulty || this.#told !== undefined)
    if (found === 'reopen') {
      this.#stopTimers()
      this.#journal.drop()
      return this.#around.died(new Error('its log was removed, and is begun anew'))
    }
    if (found !== undefined) {
      if (found.kind !== this.#told) this.#around.post([FROM_JOURNAL.health, found])
      this.#told = found.kind
    } else if ((this.#isFaulty || this.#told !== undefined) && !this.#journal.isStuck) {
      // What waits for the fault to pass is tried by itself, and tells when it has.
      this.#isFaulty = false
      this.#told = undefined
      this.#around.post([FROM_JOURNAL.health, null])
    }
    this.#watchLater()
  }

  /** Does something; when the file turns out to be another's by now, that is all that happens any more. */
  #unlessTaken(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!isTaken(error)) throw error
      this.#stopTimers()
      this.#journal.drop()
      this.#around.post([FROM_JOURNAL.taken, (error as JournalError).fault])
      this.#around.ended()
    }
  }

  #stopTimers(): void {
    this.#isOver = true
    for (const clear of [
      this.#clearLook,
      this.#clearRetry,
      this.#clearIdle,
      this.#clearQuiet,
      this.#clearWatch,
    ])
      clear?.()
  }

  #close(wall: number): void {
    this.#stopTimers()
    try {
      this.#journal.close(wall)
      this.#around.post([FROM_JOURNAL.closed, null])
    } catch (error) {
      this.#around.post([FROM_JOURNAL.closed, this.#journal.faultOf(error)])
    }
    this.#around.ended()
  }
}
