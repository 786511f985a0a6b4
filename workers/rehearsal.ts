/**
 * Rehearses a job after each import: what a module does to the language's own objects it does for all code of its thread.
 * One that leaves `Array.prototype.push` throwing would keep every handler of its pool from running, and the thread from
 * coming up. So such a module is found out before the thread says that it is ready.
 */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { type Encoded, encode, encodeInMemory, read, Snapshot } from '../src/rules/codec.ts'
import type { FlatLists } from '../src/rules/flat.ts'
import {
  FINISHED,
  FROM_THREAD,
  laneTable,
  NO_RESULT,
  RESULT_BYTES,
  SENT,
  TO_THREAD,
} from '../src/rules/protocol.ts'
import { fromWireError, type WireError } from '../src/rules/wire-error.ts'
import { JobRunner } from './job-runner.ts'
import * as pristine from './pristine.ts'
import { whose } from './whose.ts'

const PAYLOAD = { text: 'rehearsed', list: [1, { two: 2 }], none: null }
/** What JSON does not hold: it travels as bytes. */
const RICH_PAYLOAD = { at: new Date(0), set: new Set([1]), map: new Map([['key', [undefined]]]) }

/** The jobs that are rehearsed, by their slot. */
const handlers: readonly ((payload: unknown, context: unknown) => unknown)[] = [
  (payload) => payload,
  (payload, context) => ({ payload, of: (context as { name: string }).name }),
  () => {
    throw Object.assign(new TypeError('rehearsed', { cause: new Error('cause') }), { code: 'E_REHEARSED' })
  },
]

/** A lane of its own, on which jobs are rehearsed. */
export class Rehearsal {
  readonly #table = laneTable()
  readonly #channel = new MessageChannel()
  readonly #runner: JobRunner
  readonly #cell = new Int32Array(new SharedArrayBuffer(4))
  readonly #payload = encode(PAYLOAD, 'payload')
  readonly #richPayload = encode(RICH_PAYLOAD, 'payload')
  readonly #takenApart = encodeInMemory(RICH_PAYLOAD, 'payload')
  readonly #load: () => boolean
  /** False where it fails before anything was imported: then it says nothing of those that are. */
  readonly #isFit: boolean

  /** `load` does what an import takes besides; it answers true, or something is wrong. */
  constructor(load: () => boolean) {
    this.#load = load
    const names = ['rehearsed', 'rehearsed', 'rehearsed']
    const setup = {
      port: this.#channel.port1,
      table: this.#table.buffer,
      concurrency: 1,
      idPrefix: '',
      zero: 0,
      measuresCpu: false,
    }
    const parts = {
      names,
      get: (task: number) => handlers[task] as (payload: unknown) => unknown,
      isRemembered: () => false,
      hasRuined: () => false,
    }
    this.#runner = new JobRunner(setup, parts, [], (error) => {
      throw error
    })
    this.#isFit = this.#fault() === undefined
  }

  /** Rejects with what became of the jobs, when it was not what should. */
  async run(): Promise<void> {
    if (!this.#isFit) return
    const fault = this.#fault()
    if (fault !== undefined) throw fault.thrown
    // Node's own loader waits for promises in this way, `await` does not.
    let hasHeard = false
    const hear = (): void => {
      hasHeard = true
    }
    void pristine.resolved().then(hear)
    await pristine.turn()
    expect(hasHeard, 'a promise is not heard of')
  }

  close(): void {
    this.#channel.port1.close()
  }

  #fault(): { readonly thrown: unknown } | undefined {
    try {
      // The runner enters the context of each job, and that is to end here.
      whose.run(undefined, () => this.#perform())
      return undefined
    } catch (thrown) {
      return { thrown }
    }
  }

  #perform(): void {
    // What Piscina needs to tell that the thread is ready.
    const before = this.#cell[0] as number
    Atomics.add(this.#cell, 0, 1)
    expect(this.#cell[0] === before + 1, 'Atomics.add does not add')
    this.#channel.port1.postMessage(['posted'])
    expect(
      (this.#next() as unknown[] | undefined)?.[0] === 'posted',
      'a message that was posted is not there',
    )

    expect(this.#load(), 'a handler is not found')
    const plain = this.#play(0, this.#payload) as typeof PAYLOAD
    expect(plain.text === 'rehearsed' && plain.list.length === 2, 'a result has changed on its way')
    const { payload, of } = this.#play(1, this.#richPayload) as { payload: typeof RICH_PAYLOAD; of: string }
    expect(of === 'rehearsed' && payload.set.size === 1, 'the context of a handler is not whole')
    expect(
      payload.at.getTime() === 0 && payload.map.size === 1,
      'bytes of a result have changed on their way',
    )
    expect(this.#takenApart instanceof Snapshot, 'a payload is not taken apart')
    const again = this.#play(1, (this.#takenApart as Snapshot).lists) as { payload: typeof RICH_PAYLOAD }
    expect(
      again.payload.at.getTime() === 0 && again.payload.map.get('key')?.length === 1,
      'a payload that was taken apart is not put together',
    )
    const error = this.#play(2, undefined) as Error
    expect(error.message === 'rehearsed', 'the error of a job is not told')
  }

  /** Plays one job to its end: its result, or its error. */
  #play(slot: number, payload: Encoded | FlatLists): unknown {
    const table = this.#table
    table.task[slot] = slot
    table.attempt[slot] = 1
    table.number[slot] = 1
    table.resultLength[slot] = NO_RESULT
    table.state[slot] = SENT
    this.#runner.receive([TO_THREAD.runWith, slot, payload, undefined, undefined])
    let told: unknown[] | undefined
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (typeof next === 'object') told = next as unknown[]
    }
    if (told?.[0] === FROM_THREAD.failed) return fromWireError(told[2] as WireError)
    if (told?.[0] === FROM_THREAD.result) return read(told[2] as Encoded, 'result')
    const length = table.resultLength[slot] as number
    expect(table.state[slot] === FINISHED && length > 0, 'a job has no end')
    const at = slot * RESULT_BYTES
    return read(table.results.toString('utf8', at, at + length), 'result')
  }

  #next(): unknown {
    return receiveMessageOnPort(this.#channel.port2)?.message
  }
}

function expect(isSo: boolean, otherwise: string): void {
  if (!isSo) throw new Error(otherwise)
}
