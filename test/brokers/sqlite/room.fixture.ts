/** A journal without its thread, and how much room its files take. */
import { statSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { COMPLETED, type JournalSetup, OP } from '../../../src/rules/journal-protocol.ts'
import { Journal } from '../../../workers/journal/journal.ts'
import { JournalService, type Message, WATCH_EVERY } from '../../../workers/journal/service.ts'

/** The limit of the log in these tests. */
export const LIMIT = 2 ** 20

/** A journal that keeps no finished job, in this thread. */
export class Room {
  readonly file: string
  readonly journal: Journal
  #number = 0
  #seq = 0
  #timer: (() => void) | undefined
  readonly #service: JournalService

  constructor(file: string, isShared = false) {
    this.file = file
    const setup: JournalSetup = {
      ...{ file, durability: 'process', isShared, window: 64, ageing: 1000, idPrefix: 'test-', wall: 1 },
      ...{
        mode: 0o600,
        answerWithin: 0,
        logLimit: LIMIT,
        patience: 1000,
        retention: { count: 0, age: 1e12, dead: 1e12 },
      },
      tasks: [
        {
          name: 'task',
          pool: 'default',
          concurrency: 8,
          onCrash: 'retry',
          maxCrashes: 3,
          retention: undefined,
        },
      ],
    }
    this.journal = new Journal(setup)
    this.journal.open()
    const around = {
      post() {},
      next: () => undefined,
      timer: (milliseconds: number, callback: () => void) => {
        // Whether the file is where it was is no matter here.
        if (milliseconds === WATCH_EVERY) return () => {}
        this.#timer = callback
        return () => {
          this.#timer = undefined
        }
      },
      wall: () => 1,
      ended() {},
      died() {},
    }
    this.#service = new JournalService(this.journal, around, false)
    onTestFinished(() => this.journal.close(1))
  }

  /** Adds jobs with so many bytes each in one commit; returns their numbers. */
  add(jobs: number, bytes: number): number[] {
    const numbers = Array.from({ length: jobs }, () => ++this.#seq)
    const payload = new Uint8Array(bytes).fill(1)
    const places = [null, null, null, null, null, null]
    this.#write(numbers.flatMap((seq) => [OP.add, seq, 0, 0, 0, 1, ...places, payload, null]))
    return numbers
  }

  /** Ends jobs, which are then let go of. */
  end(numbers: readonly number[]): void {
    const rest = [null, null, null, 1, 0, 0, 1, 1, null, null]
    this.#write(numbers.flatMap((seq) => [OP.finish, seq, 0, COMPLETED, ...rest]))
  }

  /** Lets time pass until the journal looks again whether there is little to do. */
  look(): void {
    const timer = this.#timer
    this.#timer = undefined
    timer?.()
  }

  /** Lets time pass until the journal has nothing left to do; returns how many steps that took. */
  rest(): number {
    let steps = 0
    for (; this.#timer !== undefined; steps++) this.look()
    return steps
  }

  /** The bytes of the log that is written ahead. */
  get log(): number {
    return statSync(`${this.file}-wal`).size
  }

  /** The bytes of the file. */
  get size(): number {
    return statSync(this.file).size
  }

  #write(ops: unknown[]): void {
    const message: Message = [0, ++this.#number, 1, ops, false]
    this.#service.take(message)
  }
}
