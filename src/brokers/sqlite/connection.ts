/**
 * Keeps the journal open: starts its thread, starts another when that one dies, sends what is to be written and asked,
 * and knows what is wrong when nothing can be.
 */
import {
  FROM_JOURNAL,
  type JournalFault,
  type JournalSetup,
  type Opened,
  type Questions,
  type Reply,
  type Row,
  TO_JOURNAL,
} from '../../rules/journal-protocol.ts'
import type { Clock } from '../../words/clock.ts'
import { BrokerUnavailableError } from '../../words/errors.ts'
import { errorOfFault, passingError, threadError } from './faults.ts'
import type { JournalClock } from './journal-clock.ts'
import type { JournalLink } from './link.ts'
import { Outbox, type Outgoing } from './outbox.ts'
import { RequestChannel } from './request-channel.ts'

/** Who hears what the journal says. */
export interface ConnectionHost {
  /** What to open the journal with; `before` is the run to go on with, and the file that it had. */
  setup(before: Pick<Opened, 'run' | 'identity'> | undefined): JournalSetup
  /** The journal is open, for the first time or again. */
  opened(opened: Opened, isFirst: boolean): void
  committed(reply: Reply): void
  /** This was never written, and will not be. */
  abandoned(outgoing: Outgoing, error: Error): void
  /** Nothing can be written at present (`fault` says why), or it can be again after `downFor` milliseconds. */
  changed(fault: Error | undefined, downFor: number): void
  /** Another process has the file now: what is unfinished here is its own. */
  taken(error: Error): void
}

// After a fault that has not stopped everything, the next job is let through to see whether it has passed.
const PROBE_AFTER = 1000
// A thread that dies is started again, ever more slowly when it keeps dying.
const FIRST_WAIT = 20
const LONGEST_WAIT = 10_000
// What a stop leaves unwritten would be done again, so that many more threads (two and a half seconds) may write it.
const LAST_TRIES = 8

/** How often a journal is asked that dies each time. */
const ASKS = 10

/** The connection to a journal, for as long as the broker is open. */
export class Connection {
  readonly outbox: Outbox
  /** Once it is not 0, the journal waits no longer for another process that writes. It is shared with the journal's thread. */
  readonly hurry: Int32Array = new Int32Array(new SharedArrayBuffer(4))
  readonly #link: JournalLink
  readonly #clock: Clock
  readonly #host: ConnectionHost
  readonly #requests: RequestChannel
  readonly #opening = Promise.withResolvers<void>()
  #closing: PromiseWithResolvers<void> | undefined
  #phase: 'new' | 'open' | 'restarting' | 'failed' | 'closed' = 'new'
  #before: Pick<Opened, 'run' | 'identity'> | undefined
  #deaths = 0
  #lastTries = 0
  #clearWait: (() => void) | undefined
  #fault: { error: Error; at: number; isStuck: boolean } | undefined
  #downSince = 0
  /** The thread that ends has said why it could not open the file. */
  #isRefused = false

  constructor(link: JournalLink, clock: JournalClock, host: ConnectionHost) {
    this.#link = link
    this.#clock = clock
    this.#host = host
    const post = (message: readonly unknown[]): void => this.#post(message)
    this.outbox = new Outbox(clock, post)
    this.#requests = new RequestChannel(post)
  }

  /** Resolves when the journal is open for the first time; rejects with why it cannot be. */
  open(): Promise<void> {
    this.#start()
    return this.#opening.promise
  }

  /**
   * Has everything written that was said, and closes the journal behind it. What cannot be written within so many
   * milliseconds is not.
   */
  async close(most = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise
    this.#closing = Promise.withResolvers<void>()
    if (this.#phase === 'failed') this.#closed()
    else if (this.#phase === 'open') this.#takeLeave()
    // There is nothing to come back to.
    else if (this.isGone) {
      this.#clearWait?.()
      this.#closed()
    }
    // One that is about to open does it then; one that was to be started later is started now.
    else if (this.#clearWait !== undefined) this.#startAgain()
    const isEnough = (): void => void Atomics.store(this.hurry, 0, 1)
    const clearTimer = most === Number.POSITIVE_INFINITY ? undefined : this.#clock.timer(most, isEnough)
    await this.#closing.promise
    await this.#link.stop()
    clearTimer?.()
  }

  /** Why nothing can be taken in at present. */
  refusal(): Error | undefined {
    const fault = this.#fault
    if (fault === undefined) return undefined
    return fault.isStuck || this.#clock.now() - fault.at < PROBE_AFTER ? fault.error : undefined
  }

  /** The journal could not write; returns what to tell those whose jobs it could not take. */
  faulty(fault: JournalFault, isStuck: boolean): Error {
    const error = passingError(fault)
    this.#goesDown(error, isStuck)
    return error
  }

  /** True when the file is not where it was: what stands there is gone with this process. */
  get isGone(): boolean {
    const reason = reasonOf(this.#fault?.error)
    return this.#phase !== 'new' && (reason === 'missing' || reason === 'replaced')
  }

  /** False when a question would wait for a thread that is yet to start. */
  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  /** True while nothing can be written. */
  get isDown(): boolean {
    return this.#fault !== undefined
  }

  /** The journal has written again. */
  recovered(): void {
    this.#comesUp()
    this.#deaths = 0
  }

  async ask<Q extends keyof Questions>(
    question: Q,
    argument: Questions[Q]['ask'],
  ): Promise<Questions[Q]['answer']> {
    if (this.#phase === 'failed' || this.#phase === 'closed') {
      throw this.#fault?.error ?? new BrokerUnavailableError('closed', 'The journal has closed.')
    }
    // What was said before the question comes before it.
    this.outbox.flush(true)
    return this.#requests.ask(question, argument)
  }

  /** What the file has of a job, asked again when the journal dies meanwhile; undefined when it cannot be asked any more. */
  async rowOf(seq: number): Promise<Row | null | undefined> {
    for (let tries = 0; tries < ASKS; tries++) {
      try {
        return await this.ask('row', seq)
      } catch (error) {
        if (Reflect.get(error as object, 'reason') !== 'thread') return undefined
      }
    }
    return undefined
  }

  /** What the journal says. */
  receive(message: readonly unknown[]): void {
    switch (message[0]) {
      case FROM_JOURNAL.opened:
        return this.#opened(message[1] as Opened)
      case FROM_JOURNAL.refused:
        // A file that was open may be so again: the thread ends, and another is started.
        if (this.#phase === 'new') this.#failed(errorOfFault(message[1] as JournalFault))
        else this.#refused(message[1] as JournalFault)
        return
      case FROM_JOURNAL.taken:
        return this.#refused(message[1] as JournalFault)
      case FROM_JOURNAL.health:
        if (message[1] === null) this.recovered()
        else this.faulty(message[1] as JournalFault, true)
        break
      case FROM_JOURNAL.committed:
        this.#host.committed(message[1] as Reply)
        break
      case FROM_JOURNAL.answer:
        this.#requests.answered(message)
        break
      case FROM_JOURNAL.closed:
        this.#closed()
    }
    this.#link.await(this.#isAwaiting || this.#closing !== undefined)
  }

  /** The journal's thread is gone. */
  ended(cause: Error | undefined): void {
    const isClosing = this.#closing !== undefined
    const isHurried = Atomics.load(this.hurry, 0) !== 0
    const isLast = this.#lastTries === LAST_TRIES || this.isGone || isHurried
    if (this.#phase === 'closed' || (isClosing && isLast)) return this.#closed()
    if (this.#phase === 'failed') return
    if (isClosing && this.#lastTries++ === 0) this.#deaths = 0
    const error = threadError(cause, this.#phase === 'new')
    this.outbox.closed()
    this.#requests.failAll(error)
    if (this.#phase === 'new') return this.#failed(error)
    this.#phase = 'restarting'
    // Why it could not be opened anew says more than that its thread is gone.
    if (!this.#isRefused) this.#goesDown(error, true)
    this.#isRefused = false
    const wait = Math.min(FIRST_WAIT * 2 ** this.#deaths++, LONGEST_WAIT)
    this.#clearWait = this.#clock.timer(wait, () => this.#startAgain())
  }

  get #isAwaiting(): boolean {
    return !(this.outbox.isEmpty && this.#requests.isIdle)
  }

  #startAgain(): void {
    this.#clearWait?.()
    this.#clearWait = undefined
    if (this.#phase === 'restarting') this.#start()
  }

  #start(): void {
    try {
      this.#link.start(this.#host.setup(this.#before), this)
    } catch (error) {
      // No thread could be made, such as for want of memory: as if it had died at once.
      this.ended(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #opened(opened: Opened): void {
    const isFirst = this.#phase === 'new'
    this.#phase = 'open'
    this.#before = opened
    this.#comesUp()
    this.#host.opened(opened, isFirst)
    this.outbox.opened()
    // What was said before a question comes before it.
    if (!this.#requests.isIdle) this.outbox.flush(true)
    this.#requests.opened()
    this.#opening.resolve()
    if (this.#closing === undefined) this.#link.await(this.#isAwaiting)
    else this.#takeLeave()
  }

  /** Everything that was said comes before it. */
  #takeLeave(): void {
    this.outbox.flush(true)
    this.#post([TO_JOURNAL.close, this.#clock.wall()])
  }

  /** A file that was open cannot be opened anew, or is another's. */
  #refused(fault: JournalFault): void {
    const error = passingError(fault)
    if (fault.kind === 'taken') {
      this.#failed(error)
      this.#host.taken(error)
    } else {
      this.#isRefused = true
      this.#goesDown(error, true)
    }
  }

  #goesDown(error: Error, isStuck: boolean): void {
    const before = this.#fault
    const at = this.#clock.now()
    this.#fault = { error, at, isStuck }
    if (before === undefined) this.#downSince = at
    // The same again is no news.
    if (reasonOf(before?.error) !== reasonOf(error)) this.#host.changed(error, 0)
  }

  #comesUp(): void {
    if (this.#fault === undefined) return
    this.#fault = undefined
    this.#host.changed(undefined, this.#clock.now() - this.#downSince)
  }

  #failed(error: Error): void {
    this.#phase = 'failed'
    this.#goesDown(error, true)
    this.outbox.closed()
    this.#requests.failAll(error)
    this.#abandon(error)
    this.#opening.reject(error)
    this.#link.await(false)
    if (this.#closing !== undefined) this.#closed()
  }

  #closed(): void {
    const error = new BrokerUnavailableError('closed', 'The journal has closed.')
    this.outbox.closed()
    this.#abandon(error)
    this.#requests.failAll(error)
    this.#phase = this.#phase === 'failed' ? 'failed' : 'closed'
    this.#closing?.resolve()
  }

  #abandon(error: Error): void {
    for (const outgoing of this.outbox.abandoned()) this.#host.abandoned(outgoing, error)
  }

  #post(message: readonly unknown[]): void {
    this.#link.await(true)
    this.#link.post(message)
  }
}

function reasonOf(error: Error | undefined): unknown {
  return error && (Reflect.get(error, 'reason') ?? error.name)
}
