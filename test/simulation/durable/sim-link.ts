/**
 * The way to a journal without a thread: messages travel in virtual time, and the journal itself writes to a real file.
 * A crash of the process is a clock that is never moved again: what was under way in either direction is gone with it.
 */
import { DatabaseSync } from 'node:sqlite'
import type { LinkHost } from '../../../src/brokers/sqlite/link.ts'
import { FROM_JOURNAL, type JournalSetup } from '../../../src/rules/journal-protocol.ts'
import { closeFile, faultOf, type OpenFile } from '../../../workers/journal/file.ts'
import type { Journal } from '../../../workers/journal/journal.ts'
import { codeOf, JournalError } from '../../../workers/journal/journal-error.ts'
import { JournalService, type Message } from '../../../workers/journal/service.ts'
import type { VirtualClock } from '../virtual-clock.ts'

/** What a link is made from. */
export interface SimLinkParts {
  readonly clock: VirtualClock
  /** Milliseconds that a message travels, or a transaction takes. */
  readonly latency: () => number
  readonly openFile: (setup: JournalSetup) => OpenFile
  readonly openJournal: (setup: JournalSetup, file: OpenFile) => Journal
  /** Sees what is sent to the journal. */
  readonly seen: (message: Message) => void
}

/** A simulated thread of a journal: lives until it is closed or dies. */
interface Thread {
  readonly host: LinkHost
  readonly inbox: Message[]
  readonly exited: PromiseWithResolvers<void>
  service: JournalService | undefined
  isBusy: boolean
  isDead: boolean
  arrivesAt: number
  tellsAt: number
}

/** The link. */
export class SimLink {
  /** The open file, while a journal has it. */
  file: OpenFile | undefined
  /** True until the event loop's side has heard that the journal is open. */
  isDown = true
  /** True once the journal has closed as it should, and could say so in the file. */
  hasClosed = false
  /** How often it has died. */
  deaths = 0
  readonly #parts: SimLinkParts
  #thread: Thread | undefined
  #diesUntold = false

  constructor(parts: SimLinkParts) {
    this.#parts = parts
  }

  start(setup: JournalSetup, host: LinkHost): void {
    const exited = Promise.withResolvers<void>()
    const times = { arrivesAt: 0, tellsAt: 0 }
    const thread: Thread = {
      ...{ host, inbox: [], exited, service: undefined, isBusy: false, isDead: false },
      ...times,
    }
    this.#thread = thread
    this.#later(thread, 1 + this.#parts.latency(), () => this.#open(thread, setup))
  }

  post(message: Message): void {
    const thread = this.#thread
    if (thread === undefined || thread.isDead) return
    const { clock, latency, seen } = this.#parts
    const copy = structuredClone(message)
    seen(message)
    thread.arrivesAt = Math.max(thread.arrivesAt, clock.now() + latency())
    this.#later(thread, thread.arrivesAt - clock.now(), () => {
      thread.inbox.push(copy)
      this.#work(thread)
    })
  }

  await(): void {}

  async stop(): Promise<void> {
    await this.#thread?.exited.promise
  }

  /** The thread dies: now, or as soon as it has written something, before it has said so. */
  die(when: 'now' | 'untold'): void {
    // One that has never been open is another matter: then the runtime has failed to start.
    if (this.isDown) return
    if (when === 'untold') this.#diesUntold = true
    else if (this.#thread !== undefined) this.#die(this.#thread)
  }

  /** A death that has not come yet does not come any more. */
  spare(): void {
    this.#diesUntold = false
  }

  /** What is not committed is gone, as it is when a process ends. */
  rollBack(): void {
    const { file } = this
    if (!(file?.db.isOpen && file.db.isTransaction)) return
    // As the class does it: a fault that is seeded on purpose may stand in between.
    const { exec } = file.db instanceof DatabaseSync ? DatabaseSync.prototype : file.db
    exec.call(file.db, 'ROLLBACK')
  }

  /** Lets go of the file without a goodbye. */
  drop(): void {
    const { file } = this
    this.rollBack()
    this.file = undefined
    if (file !== undefined) closeFile(file)
  }

  #open(thread: Thread, setup: JournalSetup): void {
    const { openFile, openJournal } = this.#parts
    try {
      this.file = openFile(setup)
      const journal = openJournal(setup, this.file)
      const opened = journal.open()
      thread.service = new JournalService(journal, this.#around(thread), setup.isShared)
      this.#tell(thread, [FROM_JOURNAL.opened, opened])
    } catch (error) {
      if (codeOf(error) === 0 && !(error instanceof JournalError)) throw error
      this.#tell(thread, [FROM_JOURNAL.refused, faultOf(error, setup.file)])
      this.#end(thread)
    }
  }

  #around(thread: Thread): ConstructorParameters<typeof JournalService>[1] {
    const { clock } = this.#parts
    return {
      post: (message) => this.#tell(thread, message),
      next: () => thread.inbox.shift(),
      timer: (milliseconds, callback) =>
        clock.timer(milliseconds, () => {
          if (!thread.isDead) callback()
        }),
      wall: () => clock.wall(),
      ended: () => this.#end(thread),
      died: (why) => this.#die(thread, why),
    }
  }

  /** While a transaction is made, what comes waits for the next one. */
  #work(thread: Thread): void {
    if (thread.isBusy || thread.service === undefined) return
    thread.isBusy = true
    this.#later(thread, this.#parts.latency(), () => {
      thread.isBusy = false
      const first = thread.inbox.shift()
      if (first !== undefined) thread.service?.take(first)
      if (thread.inbox.length > 0) this.#work(thread)
    })
  }

  #tell(thread: Thread, message: Message): void {
    if (thread.isDead) return
    if (this.#diesUntold && message[0] === FROM_JOURNAL.committed) {
      this.#diesUntold = false
      return this.#die(thread)
    }
    if (message[0] === FROM_JOURNAL.closed) this.hasClosed = message[1] === null
    const { clock, latency } = this.#parts
    const copy = structuredClone(message)
    thread.tellsAt = Math.max(thread.tellsAt, clock.now() + latency())
    clock.at(thread.tellsAt, () => {
      if (copy[0] === FROM_JOURNAL.opened) this.isDown = false
      thread.host.receive(copy)
    })
  }

  #die(thread: Thread, why = new Error('The thread of the journal was shot.')): void {
    if (thread.isDead) return
    this.deaths++
    this.drop()
    this.#exit(thread, why)
  }

  #end(thread: Thread): void {
    this.file = undefined
    this.#exit(thread, undefined)
  }

  /** The last words of a thread come before the news of its end. */
  #exit(thread: Thread, error: Error | undefined): void {
    const { clock, latency } = this.#parts
    thread.isDead = true
    thread.service = undefined
    this.isDown = true
    clock.at(Math.max(thread.tellsAt, clock.now() + latency()), () => {
      thread.exited.resolve()
      thread.host.ended(error)
    })
  }

  #later(thread: Thread, milliseconds: number, work: () => void): void {
    const { clock } = this.#parts
    clock.at(clock.now() + milliseconds, () => {
      if (!thread.isDead) work()
    })
  }
}
