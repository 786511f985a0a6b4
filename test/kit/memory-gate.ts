/** Words of shared memory that handlers wait at and count in, so that a test needs no sleep and no clock. */
import { isoTask, type LooseRuntime } from './threads.ts'

const GATES = 64

/** Give these to a runtime whose thread is to know the memory. */
export const gateTasks = {
  learn: isoTask('gate', 'learn'),
  pass: isoTask('gate', 'pass'),
  block: isoTask('gate', 'block'),
  wait: isoTask('gate', 'wait'),
  waitToBeLetGo: isoTask('gate', 'waitToBeLetGo'),
  letGoAndHold: isoTask('gate', 'letGoAndHold'),
  spin: isoTask('gate', 'spin'),
  spinUntilOpen: isoTask('gate', 'spinUntilOpen'),
  exit: isoTask('gate', 'exit'),
  fail: isoTask('gate', 'fail'),
  leaveExit: isoTask('gate', 'leaveExit'),
  leaveThrow: isoTask('gate', 'leaveThrow'),
  leaveBlock: isoTask('gate', 'leaveBlock'),
  leaveSpin: isoTask('gate', 'leaveSpin'),
  finishAfterAbort: isoTask('gate', 'finishAfterAbort'),
  listenLate: isoTask('gate', 'listenLate'),
}

/** The test's side of the memory. */
export class MemoryGate {
  readonly memory = new SharedArrayBuffer(4 * (GATES * 2 + 1))
  readonly #words = new Int32Array(this.memory)

  /** Makes the memory known to the thread of a runtime that has one. */
  async teach(runtime: LooseRuntime): Promise<void> {
    // Only a payload that is moved can hold shared memory.
    await runtime.enqueue(gateTasks.learn, { memory: this.memory }, { transfer: [] }).result()
  }

  /** Lets through whoever waits at a gate, now or later. */
  open(at: number): void {
    Atomics.store(this.#words, at, 1)
    Atomics.notify(this.#words, at)
  }

  /** Resolves once a handler has come to a gate. */
  async reached(at: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#words, GATES + at, 0)
    if (wait.async) await wait.value
  }

  /** How many handlers have passed `pass`. */
  get tickets(): number {
    return Atomics.load(this.#words, GATES * 2)
  }
}
