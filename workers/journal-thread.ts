/**
 * The entry of the thread that owns the journal's file. Whatever has arrived while one transaction was written is the
 * next one (group commit): under load a commit serves hundreds of jobs, and a lone job waits for nothing.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { FROM_JOURNAL, type JournalSetup, type Questions, TO_JOURNAL } from '../src/rules/journal-protocol.ts'
import { Journal } from './journal/journal.ts'
import { JournalError } from './journal/journal-error.ts'
import type { Batch } from './journal/operations.ts'

// Enough for any burst to pay for its fsync, little enough that no acknowledgement waits long for its neighbours.
const MOST_ENTRIES = 400_000
const LOOK_EVERY = 50
const IDLE_STEP = 20
const FIRST_RETRY = 100
const LAST_RETRY = 5000

type Message = readonly unknown[]

class JournalThread {
  readonly #port: MessagePort
  readonly #journal: Journal
  readonly #asked: Message[] = []
  #retryIn = FIRST_RETRY
  #retry: NodeJS.Timeout | undefined
  #idle: NodeJS.Timeout | undefined
  readonly #look: NodeJS.Timeout | undefined

  /** Listens to the port from now on. */
  static serve(port: MessagePort, journal: Journal, isShared: boolean): JournalThread {
    return new JournalThread(port, journal, isShared)
  }

  constructor(port: MessagePort, journal: Journal, isShared: boolean) {
    this.#port = port
    this.#journal = journal
    port.on('message', (message: Message) => this.#take(message))
    if (isShared) this.#look = setInterval(() => this.#lookAround(), LOOK_EVERY)
  }

  /** Takes a message and all that wait behind it, up to a question or a full transaction. */
  #take(first: Message): void {
    const batches: Batch[] = []
    let entries = 0
    let message: Message | undefined = first
    while (message !== undefined) {
      if (message[0] !== TO_JOURNAL.batch) {
        this.#asked.push(message)
        break
      }
      const [, number, wall, ops] = message as [number, number, number, unknown[]]
      batches.push({ number, wall, ops })
      entries += ops.length
      if (entries > MOST_ENTRIES) break
      message = receiveMessageOnPort(this.#port)?.message as Message | undefined
    }
    if (batches.length > 0) this.#write(batches)
    for (const asked of this.#asked.splice(0)) this.#answer(asked)
  }

  #write(batches: readonly Batch[]): void {
    const reply = this.#journal.write(batches)
    this.#port.postMessage([FROM_JOURNAL.committed, reply])
    if (this.#journal.isBehind) this.#catchUp()
    if (reply.isStuck !== true) {
      this.#retryIn = FIRST_RETRY
      clearTimeout(this.#retry)
      this.#retry = undefined
    } else if (this.#retry === undefined) {
      this.#retry = setTimeout(() => {
        this.#retry = undefined
        this.#write([])
      }, this.#retryIn)
      this.#retryIn = Math.min(this.#retryIn * 2, LAST_RETRY)
    }
  }

  /** When the burst is over, the finished jobs that it has left are let go of, a step at a time. */
  #catchUp(): void {
    if (this.#idle !== undefined) return
    this.#idle = setTimeout(() => {
      this.#idle = undefined
      if (this.#journal.isBehind) this.#write([])
    }, IDLE_STEP)
  }

  #answer(message: Message): void {
    if (message[0] === TO_JOURNAL.close) return this.#close(message[1] as number)
    const [, number, wall, question, argument] = message as [number, number, number, keyof Questions, never]
    try {
      const answer = this.#journal.ask(question, argument, wall)
      this.#port.postMessage([FROM_JOURNAL.answer, number, null, answer])
    } catch (error) {
      this.#port.postMessage([FROM_JOURNAL.answer, number, this.#journal.faultOf(error), null])
    }
  }

  #lookAround(): void {
    const reply = this.#journal.look(Date.now())
    if (reply !== null) this.#port.postMessage([FROM_JOURNAL.committed, reply])
  }

  #close(wall: number): void {
    clearInterval(this.#look)
    clearTimeout(this.#retry)
    clearTimeout(this.#idle)
    try {
      this.#journal.close(wall)
      this.#port.postMessage([FROM_JOURNAL.closed, null])
    } catch (error) {
      this.#port.postMessage([FROM_JOURNAL.closed, this.#journal.faultOf(error)])
    }
    this.#port.close()
  }
}

function start(port: MessagePort, setup: JournalSetup): void {
  try {
    const journal = new Journal(setup)
    const opened = journal.open()
    JournalThread.serve(port, journal, setup.isShared)
    port.postMessage([FROM_JOURNAL.opened, opened])
  } catch (error) {
    const fault =
      error instanceof JournalError
        ? error.fault
        : { kind: 'io', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    port.postMessage([FROM_JOURNAL.refused, fault])
    port.close()
  }
}

if (parentPort !== null) start(parentPort, workerData as JournalSetup)
